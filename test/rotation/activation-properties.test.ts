import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { coversHost, type ValidatedIdentity, validityOf } from '../../src/certificates/index.ts';
import { now, synthetic } from './support/synthetic.ts';
import { World } from './support/world.ts';

const ids = ['a', 'b', 'c'];
const hosts = ['x.test', 'y.test', 'z.test'];
const namesets = [['x.test', 'y.test'], ['x.test'], ['y.test', 'z.test'], ['*.test'], ['z.test']];
/** When a certificate is valid, from the beginning of a story. */
const dates = [
  [-10, 10_000],
  [-10, 10_000],
  [-10, 300],
  [-20, -10],
  [150, 10_000],
] as const;

const certificate = (id: string) =>
  fc
    .record({ names: fc.constantFrom(...namesets), date: fc.nat(dates.length - 1), key: fc.nat(3), serial: fc.nat(1) })
    .map(({ names, date, key, serial }) => {
      const [from, to] = dates[date] ?? [0, 0];
      const version = namesets.indexOf(names) * 100 + date * 10 + key * 2 + serial;
      return synthetic({ id, names, version, key, length: 1 + serial, notBefore: now + from, notAfter: now + to });
    });

type Step = { readonly id: string } & (
  | {
      readonly kind: 'write';
      readonly what: ValidatedIdentity | 'broken' | null;
      readonly trouble: 'none' | 'refused' | 'distorted';
    }
  | { readonly kind: 'rollback'; readonly all: boolean }
  | { readonly kind: 'accept' | 'compromised' | 'api' | 'resync' }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'clients'; readonly refuse: boolean }
);

const step: fc.Arbitrary<Step> = fc.constantFrom(...ids).chain((id): fc.Arbitrary<Step> => {
  const trouble = fc.constantFrom('none', 'none', 'none', 'refused', 'distorted' as const);
  const what = fc.oneof({ weight: 5, arbitrary: certificate(id) }, fc.constantFrom('broken' as const, null));
  return fc.oneof(
    { weight: 6, arbitrary: fc.record({ id: fc.constant(id), kind: fc.constant('write' as const), what, trouble }) },
    {
      weight: 2,
      arbitrary: fc.record({ id: fc.constant(id), kind: fc.constant('rollback' as const), all: fc.boolean() }),
    },
    fc.record({ id: fc.constant(id), kind: fc.constantFrom('accept', 'compromised', 'api', 'resync' as const) }),
    { weight: 2, arbitrary: fc.record({ id: fc.constant(id), kind: fc.constant('wait' as const), ms: fc.nat(200) }) },
    fc.record({ id: fc.constant(id), kind: fc.constant('clients' as const), refuse: fc.boolean() }),
  );
}) as fc.Arbitrary<Step>;

/** Does what a step says, with the run that follows. */
async function take(world: World, one: Step): Promise<void> {
  const { id } = one;
  switch (one.kind) {
    case 'write':
      world.write(id, one.what);
      if (one.what && one.what !== 'broken' && one.trouble !== 'none')
        world.publisher[one.trouble].add(one.what.fingerprint);
      await world.run('event');
      break;
    case 'rollback':
      world.rollback(one.all ? undefined : id);
      await world.run('rollback');
      break;
    case 'accept':
      await world.run('api', { accept: id });
      break;
    case 'compromised':
      await world.run('api', { compromised: id });
      break;
    case 'wait':
      world.clock += one.ms;
      await world.run('schedule');
      break;
    case 'clients':
      world.handshakes(id, one.refuse);
      await world.run('canary');
      break;
    default:
      await world.run(one.kind);
  }
}

const story = fc.tuple(fc.constantFrom(0, 100), fc.constantFrom(0, 40), fc.array(step, { maxLength: 25 }));
const runs = { numRuns: 300 };

/** Plays stories; after each step something has to hold. */
function always(check: (world: World, before: Before, one: Step) => void | Promise<void>): Promise<void> {
  return fc.assert(
    fc.asyncProperty(story, async ([canary, jitter, steps]) => {
      const world = new World(canary, jitter);
      await world.run('start');
      for (const one of steps) {
        const { number } = world.publisher.current;
        const before = { identities: world.identities, number, disk: new Map(world.disk) };
        await take(world, one);
        await check(world, before, one);
      }
    }),
    runs,
  );
}

interface Before {
  readonly identities: readonly ValidatedIdentity[];
  readonly number: number;
  readonly disk: World['disk'];
}

const isValid = (world: World) => (identity: ValidatedIdentity) => validityOf(identity.leaf, world.clock) === 'valid';
const validHosts = (world: World, identities: readonly ValidatedIdentity[]) => {
  const valid = identities.filter(isValid(world));
  return hosts.filter((host) => valid.some(({ names }) => coversHost(names, host)));
};

test('what is served and valid is never exchanged for nothing, nor for what is not valid', async () => {
  await always((world, { identities }) => {
    for (const one of identities.filter(isValid(world))) {
      const after = world.served(one.id);
      if (after) assert.ok(isValid(world)(after), one.id);
      else
        for (const name of one.names.filter((host) => hosts.includes(host))) {
          assert.ok(validHosts(world, world.identities).includes(name), name);
        }
    }
  });
});

test('a name that has a valid certificate keeps one, unless an operator or a listener said otherwise', async () => {
  // What an operator said may take effect later: an accepted certificate that is not valid yet waits.
  const spoken = new WeakSet<World>();
  await always((world, { identities }, { kind }) => {
    if (kind === 'accept' || kind === 'rollback' || world.publisher.distorted.size > 0) spoken.add(world);
    if (spoken.has(world)) return;
    const after = validHosts(world, world.identities);
    for (const host of validHosts(world, identities)) assert.ok(after.includes(host), host);
  });
});

test('what is served, to some or to all, was on disk at some time, and the TLS layer takes it', async () => {
  const seen = new WeakMap<World, Set<string>>();
  await always((world) => {
    const known = seen.get(world) ?? new Set<string>();
    seen.set(world, known);
    for (const { identity } of world.disk.values()) if (identity) known.add(identity.fingerprint);
    const canaries = [...world.publisher.current.canaries.values()].map(({ identity }) => identity);
    for (const { fingerprint } of [...world.identities, ...canaries]) assert.ok(known.has(fingerprint), fingerprint);
  });
});

test('numbers only grow, and a run without changes publishes nothing', async () => {
  await always(async (world, { number }) => {
    const after = world.publisher.current;
    assert.ok(after.number >= number);
    for (const trigger of ['event', 'resync', 'schedule'] as const) {
      const { verdicts } = await world.run(trigger);
      assert.equal(world.publisher.current, after);
      assert.ok(verdicts.every(({ result }) => result !== 'applied' && result !== 'canary'));
    }
  });
});

test('what was rolled back is not served before its files changed, it was accepted, or nothing valid was left', async () => {
  await fc.assert(
    fc.asyncProperty(story, fc.constantFrom(...ids), async ([canary, jitter, steps], id) => {
      const world = new World(canary, jitter);
      let held: string | null = null;
      for (const one of steps) {
        if (one.kind === 'rollback') {
          const onDisk = world.disk.get(id)?.identity?.fingerprint ?? world.served(id)?.fingerprint ?? null;
          if (world.rollback(one.all ? undefined : id).includes(id)) held = onDisk;
          await world.run('rollback');
        } else {
          const served = world.served(id);
          await take(world, one);
          const onDisk = world.disk.get(id)?.identity?.fingerprint;
          const lapsed = served && !isValid(world)(served);
          const said = one.id === id && (one.kind === 'accept' || one.kind === 'compromised');
          if ((onDisk !== undefined && onDisk !== held) || lapsed || said) held = null;
        }
        if (held !== null) {
          assert.notEqual(world.served(id)?.fingerprint, held);
          assert.notEqual(world.publisher.current.canaries.get(id)?.identity.fingerprint, held);
        }
      }
    }),
    runs,
  );
});

test('a compromised key is never taken into service again where another one is served', async () => {
  await fc.assert(
    fc.asyncProperty(story, async ([canary, jitter, steps]) => {
      const world = new World(canary, jitter);
      const compromised = new Set<string>();
      for (const one of steps) {
        const before = new Map(world.identities.map((identity) => [identity.id, identity]));
        const key = before.get(one.id)?.leaf.publicKey256;
        if (one.kind === 'compromised' && key) compromised.add(key);
        await take(world, one);
        for (const { id, fingerprint, leaf } of world.identities) {
          const from = before.get(id);
          if (!from || from.fingerprint === fingerprint || (one.kind === 'accept' && one.id === id)) continue;
          assert.ok(!compromised.has(leaf.publicKey256), id);
        }
      }
    }),
    runs,
  );
});
