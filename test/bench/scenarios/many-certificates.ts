import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeAtomically } from '../../support/files.ts';
import { percentilesOf } from '../../support/load/percentiles.ts';
import { presentedFingerprint, probeRotation } from '../../support/load/probe.ts';
import { fingerprintOf, type Leaf } from '../../support/pki.ts';
import type { Peer } from '../peers/types.ts';
import { SERVERNAME, type Site, type Stage } from '../suite/stage.ts';
import type { Sample, Scenario, Trial } from '../suite/types.ts';
import { type OneOfMany, writeManyCertificates } from '../support/many-certificates.ts';
import { NameClients } from '../support/name-clients.ts';
import { memoryOfTree } from '../support/process-tree.ts';

const READY_LIMIT_MS = 120_000;
const SETTLE_MS = 1_500;
const ROTATIONS = 9;
const PAUSE_MS = 100;
/** Names among which the lookups are made, all of them used before: what a first use costs is measured apart. */
const LOOKUP_NAMES = 256;

export const manyCertificates: Scenario = {
  name: 'many-certificates',
  title: 'Many certificates in one directory, a file each, and one alone',
  peers: ['haproxy', 'swivel'],
  figures: [
    { name: 'ready', title: 'start to ready', unit: 's' },
    { name: 'pssReady', title: 'PSS after start', unit: 'MiB' },
    { name: 'pssUsed', title: 'PSS, each used once', unit: 'MiB' },
    { name: 'rotated', title: 'one rotated among them, median', unit: 'ms' },
    { name: 'rotatedAlone', title: 'the same, alone', unit: 'ms' },
    { name: 'firstUse', title: 'CPU, first handshake of each', unit: 'µs' },
    { name: 'lookup', title: 'CPU, later handshakes', unit: 'µs' },
    { name: 'lookupAlone', title: 'the same, alone', unit: 'µs' },
    { name: 'pssAlone', title: 'PSS, alone', unit: 'MiB' },
    { name: 'certificates', title: 'certificates', unit: '' },
  ],
  once: true,
  targets: [
    { figure: 'ready', against: { peer: 'haproxy' }, atMost: 0.3 },
    { figure: 'pssReady', against: { peer: 'haproxy' }, atMost: 1 },
    { figure: 'pssUsed', against: { peer: 'haproxy' }, atMost: 2 },
    { figure: 'rotated', against: { figure: 'rotatedAlone' }, atMost: 1.5 },
  ],
  async begin(stage: Stage, peer: Peer): Promise<Trial> {
    const all = await certificatesOf(stage);
    return {
      measure: async () => ({ ...(await measureAll(stage, peer, all)), ...(await measureAlone(stage, peer)) }),
      end: async () => {},
    };
  },
};

const written = new WeakMap<Stage, Promise<OneOfMany[]>>();

/** Written once: a renewal of one of them in an earlier round makes no difference to a later one. */
function certificatesOf(stage: Stage): Promise<OneOfMany[]> {
  const directory = join(stage.directory, 'many');
  const all =
    written.get(stage) ??
    mkdir(directory).then(() => writeManyCertificates(stage.authority, stage.certificates, directory));
  written.set(stage, all);
  return all;
}

async function measureAll(stage: Stage, peer: Peer, all: readonly OneOfMany[]): Promise<Sample> {
  const one = all[Math.floor(all.length / 2)];
  const last = all.at(-1);
  if (!one || !last) throw new Error('no certificates');
  const began = performance.now();
  const site = await stage.start(peer, { upstream: 'static', among: one.file, starting: true });
  const clients = new NameClients(site);
  try {
    await untilServed(site, last.name);
    const ready = (performance.now() - began) / 1000;
    await sleep(SETTLE_MS);
    const pssReady = memoryOfTree(site.pid).pss;
    const firstUse = await clients.visit({ names: all.map(({ name }) => name) });
    await sleep(SETTLE_MS);
    const pssUsed = memoryOfTree(site.pid).pss;
    const names = all.slice(0, LOOKUP_NAMES).map(({ name }) => name);
    await clients.visit({ names });
    const lookup = await clients.visit({ names, seconds: stage.seconds });
    const rotated = await rotate(site, stage, one.name, one.file);
    return { ready, pssReady, pssUsed, rotated, firstUse, lookup, certificates: all.length };
  } finally {
    await clients.stop();
    await site.stop();
  }
}

async function measureAlone(stage: Stage, peer: Peer): Promise<Sample> {
  const site = await stage.start(peer, { upstream: 'static' });
  const clients = new NameClients(site);
  try {
    const names = [SERVERNAME];
    await sleep(SETTLE_MS);
    const pssAlone = memoryOfTree(site.pid).pss;
    // As many handshakes as the other one has had by now.
    await clients.visit({ names: Array.from({ length: stage.certificates }, () => SERVERNAME) });
    const lookupAlone = await clients.visit({ names, seconds: stage.seconds });
    const rotatedAlone = await rotate(site, stage, SERVERNAME, site.setting.certificateFile);
    return { pssAlone, lookupAlone, rotatedAlone };
  } finally {
    await clients.stop();
    await site.stop();
  }
}

/** Resolves with the first handshake that succeeds; the name is checked against the certificate. */
async function untilServed(site: Site, servername: string): Promise<void> {
  const began = performance.now();
  for (;;) {
    try {
      await presentedFingerprint({ ...site.target, servername });
      return;
    } catch (error) {
      if (performance.now() - began > READY_LIMIT_MS) throw error;
      await sleep(10);
    }
  }
}

/** Median of milliseconds from a rename to the first handshake with the new certificate. */
async function rotate(site: Site, { authority }: Stage, name: string, file: string): Promise<number> {
  const leaves: Leaf[] = [];
  for (let count = 0; count < ROTATIONS; count++) leaves.push(await authority.issue({ names: [name] }));
  const times: number[] = [];
  const { announce } = site;
  for (const leaf of leaves) {
    const { completedMs, missed } = await probeRotation({
      target: { ...site.target, servername: name },
      fingerprint256: fingerprintOf(leaf.certificatePem),
      write: () => writeAtomically(file, leaf.keyPem + leaf.chainPem),
      ...(announce && { announce: () => announce(leaf) }),
      timeoutMs: 30_000,
    });
    if (missed) throw new Error('a renewed certificate is not served');
    times.push(completedMs);
    await sleep(PAUSE_MS);
  }
  return percentilesOf(times).median;
}
