/**
 * How fast a renewed certificate is served, and what that costs the clients, side by side:
 *
 *     node test/bench/rotation.ts [--peers nginx,haproxy,caddy,swivel] [--rotations 15] [--rate 1] [--load full|basic] [--workers 1] [--json]
 *
 * `full` is the load of the end-to-end test; `basic` has only keep-alive clients and fresh connections. `--workers` is
 * for Swivel alone; with several, the table has the spread between the first and the last to serve the new certificate.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { forkUpstream } from '../support/load/upstream.ts';
import { createAuthority } from '../support/pki.ts';
import { type Measurement, measureRotation, type Plan } from './measure-rotation.ts';
import { caddy } from './peers/caddy.ts';
import { haproxy } from './peers/haproxy.ts';
import { nginx } from './peers/nginx.ts';
import { swivel } from './peers/swivel.ts';
import type { Peer } from './peers/types.ts';

const allPeers: readonly Peer[] = [nginx, haproxy, caddy, swivel];
const loads: Record<string, Plan['load']> = {
  full: {},
  basic: { http2Connections: 0, webSockets: 0, downloadBytes: 0 },
};

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      peers: { type: 'string', default: allPeers.map(({ name }) => name).join(',') },
      rotations: { type: 'string', default: '15' },
      rate: { type: 'string', default: '1' },
      load: { type: 'string', default: 'full' },
      workers: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
    },
  });
  const load = loads[values.load];
  const rotations = Number(values.rotations);
  const rate = Number(values.rate);
  const workers = Number(values.workers);
  const names = values.peers.split(',');
  const unknown = names.find((name) => !allPeers.some((peer) => peer.name === name));
  if (!load || unknown !== undefined || !(rotations > 0) || !(rate > 0) || !(workers > 0)) {
    console.error(`cannot measure that: peers are ${allPeers.map(({ name }) => name)}, loads ${Object.keys(loads)}`);
    return 2;
  }

  const directory = mkdtempSync(join(tmpdir(), 'rotation-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const upstream = await forkUpstream();
  const measurements: Measurement[] = [];
  const skipped: Record<string, string> = {};
  try {
    const authority = await createAuthority();
    const plan = { authority, upstreamPort: upstream.port, directory, rotations, rate, load, workers };
    for (const peer of allPeers.filter(({ name }) => names.includes(name))) {
      const found = await peer.find();
      if ('skipped' in found) {
        skipped[peer.name] = found.skipped;
        continue;
      }
      console.error(`${peer.name} ${found.version}: ${rotations} rotations, ${rate} a second`);
      try {
        measurements.push(await measureRotation(peer, found.version, plan));
      } catch (error) {
        skipped[peer.name] = `failed: ${error instanceof Error ? error.message : error}`;
      }
    }
  } finally {
    await upstream.close();
  }
  if (values.json)
    console.log(JSON.stringify({ rotations, rate, workers, load: values.load, measurements, skipped }, null, 2));
  else print(measurements, skipped);
  return Object.values(skipped).some((reason) => reason.startsWith('failed')) ? 1 : 0;
}

function print(measurements: readonly Measurement[], skipped: Record<string, string>): void {
  console.log('Milliseconds from the rename to the completion of the first handshake with the new certificate.');
  console.table(
    Object.fromEntries(
      measurements.map(({ peer, latency, missed, load, spread }) => [
        peer,
        {
          median: round(latency.median),
          p99: round(latency.p99),
          worst: round(latency.worst),
          missed,
          requests: load.requests,
          failed: load.failures.length,
          'webSockets cut': load.websocketCuts.length,
          download: load.download.expected === 0 ? '-' : load.download.ok ? 'whole' : 'cut',
          'request p99': round(load.latency.p99),
          ...(spread && {
            'spread, median': round(spread.median),
            'spread, p99': round(spread.p99),
            'spreads seen': spread.count,
          }),
        },
      ]),
    ),
  );
  for (const { peer, how, version, failuresByReason } of measurements) {
    console.log(`${peer} ${version}: ${how}`);
    for (const [reason, count] of Object.entries(failuresByReason)) console.log(`  ${count} × ${reason}`);
  }
  for (const [peer, reason] of Object.entries(skipped)) console.log(`${peer}: skipped, ${reason}`);
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}
