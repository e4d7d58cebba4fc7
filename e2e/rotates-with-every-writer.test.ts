import { randomUUID } from 'node:crypto';
import { lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { temporaryDirectory } from '../test/support/files.ts';
import {
  apart,
  behindFuse,
  belowOverlay,
  Certbot,
  copy,
  editInPlace,
  killed,
  kubernetes,
  MountNamespace,
  mountedOver,
  type Pebble,
  recreated,
  rollBack,
  rsyncInPlace,
  rsyncRename,
  type Scope,
  startPebble,
  unshareMounts,
  vaultAgent,
  vim,
  type Writer,
} from '../test/support/writers/index.ts';
import { canDo } from './support/machine.ts';
import { anew, chainOnly, createIssuer, type Issuer, inTurn, type Renewal } from './support/renewals.ts';
import type { RotationCell } from './support/rotation-cell.ts';
import { type FromCertbot, type SourceKind, sourceKinds } from './support/source-kinds.ts';
import type { LogLine, RunningSwivel } from './support/swivel.ts';
import { patience } from './support/until.ts';
import { chainOf } from './support/visit.ts';
import { directoryFor, type Job, rotations, runMatrix, Table } from './support/writer-matrix.ts';

/** Events are all that Swivel has: a change that they do not lead to is missed. */
const eventsOnly = { mode: 'events', resync: '1h' };
/** No events at all. */
const pollsOnly = { mode: 'poll', pollInterval: '100ms' };

/** A row of the table: a writer, and what it writes. */
interface Row {
  readonly writer: Writer;
  readonly name?: string;
  /** A new certificate with a new key when left out. */
  readonly renewal?: Renewal;
}

const rows: readonly Row[] = [
  { writer: kubernetes },
  { writer: vaultAgent },
  { writer: copy },
  { writer: rsyncInPlace },
  { writer: rsyncRename },
  { writer: editInPlace },
  { writer: vim },
  { writer: killed },
  { writer: apart },
  { writer: recreated },
  { writer: rollBack, renewal: inTurn },
  { writer: vaultAgent, renewal: chainOnly, name: 'other intermediates, same leaf and key' },
];

/** Milliseconds after which certbot is not asked for more: it takes more than a second each time. */
const certbotLimit = 45_000;

/** Of the rotations that go through a half-renewed state, those that stay there until it is reported. */
const pauses = [5, 14];

const is = (event: string, id: string) => (line: LogLine) => line.event === event && line['certificate'] === id;

/** Everything about one source kind and one row but the changes themselves. */
async function prepare(t: Scope, base: string, issuer: Issuer, kind: SourceKind, row: Row, encrypted = false) {
  const name = row.name ?? row.writer.name;
  const stem = `${slug(name)}-${slug(kind.name)}`;
  const host = `${stem}.test`;
  const directory = await directoryFor(base, stem);
  const next = await (row.renewal ?? anew)(issuer, host);
  const write = await row.writer.open(t, directory);
  const first = await next();
  await write(await kind.filesOf(first, stem, encrypted ? randomUUID() : undefined));
  const place = {
    row: name,
    column: kind.name,
    host,
    entry: kind.entry(directory, stem, encrypted),
    served: chainOf(first.chainPem),
  };
  return { place, stem, first, next, write };
}

/** One writer renews one certificate again and again. */
async function renewing(t: Scope, base: string, issuer: Issuer, kind: SourceKind, row: Row): Promise<Job> {
  const { place, stem, next, write } = await prepare(t, base, issuer, kind, row);
  return {
    places: [place],
    async run([cell], swivel) {
      for (let i = 1; i <= rotations && cell?.hopeful; i += 1) {
        const leaf = await next();
        const files = await kind.filesOf(leaf, stem);
        const options = pauses.includes(i) ? { halfway: () => reported(cell, swivel, stem) } : {};
        await cell.rotate(async () => {
          await write(files, options);
          return { chain: chainOf(leaf.chainPem) };
        });
      }
    },
  };
}

/** The key comes under another passphrase again and again: nothing that is served changes, and nothing may rotate. */
async function reencrypting(t: Scope, base: string, issuer: Issuer, kind: SourceKind): Promise<Job> {
  const row = { writer: apart, name: 'same key under another passphrase' };
  const { place, stem, first, write } = await prepare(t, base, issuer, kind, row, true);
  return {
    places: [place],
    async run([cell], swivel) {
      for (let i = 1; i <= rotations; i += 1) {
        const log = swivel.process.follow();
        const files = await kind.filesOf(first, stem, randomUUID());
        const halfway = () => reported(cell, swivel, stem);
        await cell?.keep(
          () => write(files, { halfway }),
          () => log(is('recovered', stem)),
        );
      }
    },
  };
}

/** Until Swivel tells that it refuses what is on disk; what was served before is served still. */
async function reported(cell: RotationCell | undefined, swivel: RunningSwivel, id: string): Promise<void> {
  await swivel.process.follow()(is('rejected', id));
  await cell?.mustShowServed();
}

/** One lineage of certbot, which all sources read: its own files, or what a deploy hook makes of them. */
async function certbotRenewing(pebble: Pebble, base: string): Promise<Job> {
  const deployed = join(base, 'deployed');
  await mkdir(deployed);
  const live = Certbot.liveBelow(base);
  const forms = sourceKinds.map((kind) => {
    const host = `certbot-${slug(kind.name)}.test`;
    return { column: kind.name, host, ...kind.ofCertbot(live, deployed) };
  });
  const hook = forms.flatMap((form) => form.hook ?? []).join(' && ');
  const certbot = new Certbot(pebble, base, hook);
  const served = chainOf(await certbot.obtain(forms.map(({ host }) => host)));
  return {
    // Every form is served under a name of its own, though the certificate has them all.
    places: forms.map(({ column, host, entry }) => ({
      row: 'certbot renew (ACME)',
      column,
      host,
      served,
      entry: { ...entry, names: [host] },
    })),
    async run(cells) {
      const began = performance.now();
      for (let i = 1; i <= rotations && performance.now() - began < certbotLimit; i += 1) {
        const renewal = certbot.renew().then(chainOf);
        const change = async ({ reads }: FromCertbot) => ({ chain: await renewal, at: await lastChangeOf(reads) });
        await Promise.all(forms.map((form, i) => cells[i]?.rotate(() => change(form))));
      }
    },
  };
}

/** When the last of some files or links came into its place, by `performance.now()`. */
async function lastChangeOf(paths: readonly string[]): Promise<number> {
  const stats = await Promise.all(paths.map((path) => lstat(path)));
  return Math.max(...stats.map(({ ctimeMs }) => ctimeMs)) - performance.timeOrigin;
}

const slug = (text: string) =>
  text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')
    .slice(0, 24);

describe('every writer renews every source, and nobody notices', { concurrency: true, timeout: 8 * patience }, () => {
  const table = new Table();
  after(() => console.log(table.lines(sourceKinds.map(({ name }) => name)).join('\n')));

  test('found by events', async (t) => {
    if (!canDo(t, 'some way of writing', ['sh', '-c', 'rsync --version && vim --version && openssl version'])) return;
    const issuer = await createIssuer();
    const base = await temporaryDirectory(t);
    const jobs: Job[] = [];
    // These wait most of the time, so they come first.
    for (const kind of sourceKinds) jobs.push(await reencrypting(t, base, issuer, kind));
    for (const row of rows) {
      for (const kind of sourceKinds) {
        if (row.writer.apart && kind.files < 2) continue;
        jobs.push(await renewing(t, base, issuer, kind, row));
      }
    }
    await runMatrix(t, jobs, table, { ca: issuer.root.certificatePem, watch: eventsOnly, loads: 3 });
  });

  test('found by polling, where there are no events', async (t) => {
    const mounts =
      'mount -t tmpfs none /mnt && mkdir /mnt/a /mnt/b && mount -t overlay o -o lowerdir=/mnt/a:/mnt/b /mnt/a';
    if (!canDo(t, 'an overlay in a mount namespace', [...unshareMounts, 'sh', '-c', mounts])) return;
    if (!canDo(t, 'a FUSE mount', ['sh', '-c', 'test -w /dev/fuse && bindfs --version'])) return;
    const issuer = await createIssuer();
    const base = await temporaryDirectory(t);
    const namespace = await MountNamespace.open(t);
    const jobs: Job[] = [];
    for (const writer of [mountedOver(namespace), behindFuse(namespace), belowOverlay(namespace)]) {
      for (const kind of sourceKinds) jobs.push(await renewing(t, base, issuer, kind, { writer }));
    }
    const wrap = namespace.enter;
    await runMatrix(t, jobs, table, { ca: issuer.root.certificatePem, watch: pollsOnly, wrap, loads: 1 });
  });

  test('renewed by certbot from an ACME server', async (t) => {
    const programs = 'command -v certbot && command -v pebble && command -v pebble-challtestsrv';
    if (!canDo(t, 'ACME', ['sh', '-c', programs])) return;
    const base = await temporaryDirectory(t);
    const pebble = await startPebble(t, base);
    const job = await certbotRenewing(pebble, base);
    await runMatrix(t, [job], table, { ca: pebble.root, watch: eventsOnly, loads: 1 });
  });
});
