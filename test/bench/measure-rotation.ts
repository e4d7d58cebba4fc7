import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeAtomically } from '../support/files.ts';
import { Load, type LoadOptions, type LoadReport, summarize } from '../support/load/load.ts';
import { type Percentiles, percentilesOf } from '../support/load/percentiles.ts';
import { presentedFingerprint, probeRotation, type RotationTiming } from '../support/load/probe.ts';
import type { Authority, Leaf } from '../support/pki.ts';
import { freePort } from './peers/process.ts';
import type { Peer, Setting } from './peers/types.ts';

const SERVERNAME = 'localhost';
const START_LIMIT_MS = 15_000;
/** Load before the first rotation and after the last one, so that late harm is seen too. */
const MARGIN_MS = 1_500;

export interface Measurement {
  peer: string;
  how: string;
  version: string;
  /** Milliseconds from the rename's return to the completion of the first handshake with the new certificate. */
  latency: Percentiles;
  timings: number[];
  missed: number;
  /** Swivel with several workers: milliseconds between the first and the last of them to serve the new certificate. */
  spread?: Percentiles;
  /** Handshakes of the prober that failed. */
  failedHandshakes: string[];
  failuresByReason: Record<string, number>;
  load: LoadReport;
}

export interface Plan {
  authority: Authority;
  upstreamPort: number;
  directory: string;
  rotations: number;
  /** Rotations a second. */
  rate: number;
  load: Omit<LoadOptions, 'target'>;
  /** Of Swivel. */
  workers?: number | undefined;
}

/** Starts a peer, puts it under load, rotates its certificate again and again, and says what the clients saw. */
export async function measureRotation(peer: Peer, version: string, plan: Plan): Promise<Measurement> {
  const setting = await prepare(peer, plan);
  const target = { port: setting.port, servername: SERVERNAME, ca: plan.authority.certificatePem };
  const leaves: Leaf[] = [];
  // Issued beforehand: making keys would take processor time from what is measured.
  for (let count = 0; count <= plan.rotations; count++)
    leaves.push(await plan.authority.issue({ names: [SERVERNAME] }));
  const [first, ...renewals] = leaves;
  if (!first) throw new Error('nothing to serve');
  await writeCertificate(setting, first);

  const expectedDurationMs = (plan.rotations / plan.rate) * 1000 + 2 * MARGIN_MS;
  const load = new Load({ ...plan.load, target, expectedDurationMs });
  const server = await peer.start(setting);
  try {
    await waitUntilServing(target, first, setting);
    await load.start();
    await sleep(MARGIN_MS);
    const timings: RotationTiming[] = [];
    const began = performance.now();
    for (const [index, leaf] of renewals.entries()) {
      await sleep(Math.max(0, began + (index * 1000) / plan.rate - performance.now()));
      const { announce } = server;
      timings.push(
        await probeRotation({
          target,
          fingerprint256: leaf.fingerprint256,
          write: () => writeCertificate(setting, leaf),
          ...(announce && { announce: () => announce(leaf) }),
        }),
      );
    }
    await sleep(MARGIN_MS);
    const measurement = evaluate(peer, version, timings, await load.stop());
    return server.spreads ? { ...measurement, spread: percentilesOf(await server.spreads()) } : measurement;
  } finally {
    await load.abandon();
    await server.stop();
  }
}

async function prepare(peer: Peer, plan: Plan): Promise<Setting> {
  const directory = join(plan.directory, peer.name);
  const certificates = join(directory, 'certs');
  await mkdir(certificates, { recursive: true });
  return {
    directory,
    port: await freePort(),
    upstreamPort: plan.upstreamPort,
    servername: SERVERNAME,
    certificateFile: join(certificates, 'site.pem'),
    workers: plan.workers,
  };
}

function writeCertificate(setting: Setting, leaf: Leaf): Promise<void> {
  return writeAtomically(setting.certificateFile, leaf.keyPem + leaf.chainPem);
}

/** Resolves when the target presents `leaf`; rejects with the end of the log when that takes too long. */
export async function waitUntilServing(
  target: Parameters<typeof presentedFingerprint>[0],
  leaf: Leaf,
  setting: Pick<Setting, 'directory'>,
): Promise<void> {
  const began = performance.now();
  let reason = '';
  while (performance.now() - began < START_LIMIT_MS) {
    try {
      if ((await presentedFingerprint(target)) === leaf.fingerprint256) return;
      reason = 'it presents another certificate';
    } catch (error) {
      reason = String(error);
    }
    await sleep(50);
  }
  const log = await readFile(join(setting.directory, 'output.log'), 'utf8').catch(() => '');
  throw new Error(`does not serve (${reason})\n${log.slice(-2_000)}`);
}

function evaluate(peer: Peer, version: string, timings: readonly RotationTiming[], load: LoadReport): Measurement {
  const seen = timings.filter(({ missed }) => !missed).map(({ completedMs }) => completedMs);
  return {
    peer: peer.name,
    how: peer.how,
    version,
    latency: percentilesOf(seen),
    timings: timings.map(({ completedMs }) => completedMs),
    missed: timings.length - seen.length,
    failedHandshakes: timings.flatMap(({ failedHandshakes }) => failedHandshakes),
    failuresByReason: summarize(load),
    load,
  };
}
