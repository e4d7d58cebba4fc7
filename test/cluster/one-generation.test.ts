import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { type TrustBundle, type ValidatedIdentity, validateBundle } from '../../src/certificates/index.ts';
import { SwivelError } from '../../src/errors.ts';
import { createAuthority } from '../support/pki.ts';
import { freshIdentity } from '../tls/support/identities.ts';
import type { FakeProcess, Trouble } from './support/fake-process.ts';
import { quiet } from './support/post.ts';
import { contentsOf, Scene, takeClock } from './support/scene.ts';

const size = 3;
const ids = ['a', 'b', 'c'];
const versions = [await versionsOf('a'), await versionsOf('b'), await versionsOf('c')];
const bundles = [await bundle('clients'), await bundle('clients'), await bundle('partners')];

function versionsOf(id: string): Promise<ValidatedIdentity[]> {
  return Promise.all([0, 1, 2].map(() => freshIdentity(id)));
}

async function bundle(id: string): Promise<TrustBundle> {
  const { certificatePem } = await createAuthority();
  const files = [{ path: `${id}.pem`, bytes: Buffer.from(certificatePem) }];
  const { bundle: made } = validateBundle({ id, source: 'test', files });
  if (!made) throw new Error('it is whole');
  return made;
}

/** What to publish: a version of each identity or none, some of them on trial, and who is trusted. */
interface Wanted {
  readonly served: readonly (number | null)[];
  readonly trial: number | null;
  readonly trusted: readonly boolean[];
}

type Step =
  | { readonly kind: 'publish'; readonly wanted: Wanted; readonly waits: boolean }
  | { readonly kind: 'die' | 'hang' | 'resume' | 'ask' | 'refuse'; readonly who: number }
  | { readonly kind: 'trouble'; readonly who: number; readonly trouble: Trouble }
  | { readonly kind: 'beat'; readonly count: number }
  | { readonly kind: 'restart' | 'bad luck' };

const wanted: fc.Arbitrary<Wanted> = fc.record({
  served: fc.tuple(...ids.map(() => fc.option(fc.nat(2), { freq: 4 }))),
  trial: fc.option(fc.nat(2)),
  trusted: fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()),
});
const method = fc.constantFrom('begin', 'configure', 'deliver', 'prepare', 'commit', 'listen' as const);
const trouble: fc.Arbitrary<Trouble> = fc.record({
  when: fc.constantFrom('before', 'after' as const),
  method,
  what: fc.constantFrom('die', 'hang' as const),
});
const who = fc.nat(5);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('publish' as const), wanted, waits: fc.boolean() }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constantFrom('die', 'hang', 'resume', 'ask', 'refuse' as const), who }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('trouble' as const), who, trouble }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('beat' as const), count: fc.integer({ min: 1, max: 6 }) }) },
  fc.record({ kind: fc.constantFrom('restart', 'bad luck' as const) }),
);

/** A fleet, and what is asserted of it all the time. */
class Story {
  readonly scene: Scene;
  /** What the primary committed, by number. */
  readonly #committed = new Map<number, ReturnType<typeof contentsOf>>();
  readonly #wrong: string[] = [];
  readonly #pending = new Set<Promise<unknown>>();
  #publishing: Promise<void> | null = null;
  /** What happens to the next process that starts. */
  #badLuck = false;

  constructor(tick: (ms: number) => void) {
    this.scene = new Scene(tick, { size, prepare: (process) => this.#watch(process) });
    const { store } = this.scene;
    store.onCommit(({ number }) => this.#committed.set(number, contentsOf(store)));
  }

  async begin(): Promise<void> {
    await this.#publish({ served: [0, 0, 0], trial: null, trusted: [true, false, false] });
    await this.scene.open();
  }

  async take(one: Step): Promise<void> {
    const { alive, fleet } = this.scene;
    const process = 'who' in one ? alive[one.who % Math.max(1, alive.length)] : undefined;
    switch (one.kind) {
      case 'publish':
        await this.#published();
        this.#publishing = this.#publish(one.wanted).finally(() => {
          this.#publishing = null;
        });
        if (one.waits) await this.#published();
        break;
      case 'beat':
        await this.scene.beat(one.count);
        break;
      case 'restart':
        this.#background(fleet.restart());
        break;
      case 'bad luck':
        this.#badLuck = true;
        break;
      case 'die':
        process?.kill('SIGKILL');
        break;
      case 'hang':
        process?.hang();
        break;
      case 'resume':
        process?.resume();
        break;
      case 'ask':
        process?.worker.askToBeReplaced();
        break;
      case 'refuse':
        if (process) process.failsIn.prepare = new Error('no memory');
        break;
      case 'trouble':
        if (process) process.trouble = one.trouble;
        break;
      default:
    }
    assert.deepEqual(this.#wrong, []);
  }

  /** Everything works again. */
  async end(): Promise<void> {
    this.#badLuck = false;
    for (const process of this.scene.processes) {
      process.trouble = null;
      process.failsIn.prepare = undefined;
      process.resume();
    }
    await this.#published();
    const { fleet } = this.scene;
    const isWhole = () =>
      fleet.workers.length === size && fleet.inSync && fleet.workers.every(({ state }) => state === 'serving');
    for (let i = 0; i < 200 && !isWhole(); i += 1) {
      for (const process of this.scene.alive) Object.assign(process, { trouble: null });
      await this.scene.beat();
    }
    // And nothing that was begun before changes it.
    await this.scene.beat(2);
    await Promise.all(this.#pending);
    assert.deepEqual(this.#wrong, []);
    const seen = fleet.workers.map(({ id, state, have }) => `${id} ${state} ${have?.number}`).join(', ');
    assert.ok(isWhole(), seen);
    assert.equal(this.scene.alive.length, size, seen);
    for (const { store } of this.scene.alive) assert.deepEqual(contentsOf(store), contentsOf(this.scene.store));
  }

  #background(work: Promise<unknown>): void {
    this.#pending.add(work.catch((error) => assert.ok(error instanceof SwivelError, String(error))));
  }

  /** However many hang, a publication is over after some beats. */
  async #published(): Promise<void> {
    await quiet();
    for (let i = 0; this.#publishing && i < 12; i += 1) await this.scene.beat();
    assert.equal(this.#publishing, null, 'a publication is held up');
  }

  async #publish({ served, trial, trusted }: Wanted): Promise<void> {
    const identities = served.flatMap((version, i) => (version === null ? [] : [versions[i]?.[version]]));
    const canary = trial === null || served[0] === null || served[0] === trial ? undefined : versions[0]?.[trial];
    const [first, second, third] = trusted;
    try {
      const publication = await this.scene.publisher.prepare(
        {
          identities: identities.filter((one) => one !== undefined),
          canaries: canary ? [canary] : [],
          bundles: [...(first ? [bundles[0]] : second ? [bundles[1]] : []), ...(third ? [bundles[2]] : [])].filter(
            (one) => one !== undefined,
          ),
          ticketKeys: randomBytes(48),
        },
        Date.now(),
      );
      await publication.commit();
    } catch (error) {
      assert.ok(error instanceof SwivelError && error.code === 'WORKER_REFUSED', String(error));
    }
  }

  #watch(process: FakeProcess): void {
    const { store } = process;
    if (this.#badLuck) process.trouble = { when: 'after', method: 'prepare', what: 'die' };
    this.#badLuck = false;
    let last = 0;
    store.onCommit(({ number }) => {
      const mine = JSON.stringify(contentsOf(store));
      if (mine !== JSON.stringify(this.#committed.get(number)))
        this.#wrong.push(`${process.pid} serves another ${number}`);
      if (number < last) this.#wrong.push(`${process.pid} goes back from ${last} to ${number}`);
      last = number;
    });
    const { send } = process.wire;
    process.wire.send = (message, handle) => {
      const isListen = (message as { call?: string }).call === 'listen';
      if (isListen && store.current.number !== this.scene.store.current.number) {
        this.#wrong.push(`${process.pid} is told to listen with ${store.current.number}`);
      }
      send(message, handle);
    };
  }
}

test('whatever befalls workers, each only ever serves what the primary committed, and in the end they are whole and agree', async (t) => {
  takeClock(t);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
      const story = new Story((ms) => t.mock.timers.tick(ms));
      try {
        await story.begin();
        for (const one of steps) await story.take(one);
        await story.end();
      } finally {
        await story.scene.end();
      }
    }),
    { numRuns: Number(process.env['RUNS'] ?? 20) },
  );
});
