import { setTimeout as sleep } from 'node:timers/promises';
import { ScriptProcess } from '../../support/child.ts';
import type { IdleLoad } from '../clients/types.ts';
import type { Peer } from '../peers/types.ts';
import type { Site, Stage } from '../suite/stage.ts';
import type { Sample, Scenario, Trial } from '../suite/types.ts';
import { bodies } from '../support/bodies.ts';
import { memoryOfTree } from '../support/process-tree.ts';
import { everyone } from './load.ts';

const [small] = bodies;
/** Connections that come and go before the memory is taken for the first time: what the first ones need once. */
const WARM_UP = 500;
const SETTLE_MS = 1_500;

export const idle: Scenario = {
  name: 'idle',
  title: 'Idle keep-alive connections, after one request each',
  peers: everyone,
  figures: [
    { name: 'each', title: 'PSS, each connection', unit: 'KiB' },
    { name: 'eachRss', title: 'RSS, each', unit: 'KiB' },
    { name: 'before', title: 'PSS before', unit: 'MiB' },
    { name: 'after', title: 'PSS with all', unit: 'MiB' },
    { name: 'connections', title: 'connections', unit: '' },
  ],
  targets: [{ figure: 'each', against: { peer: 'caddy' }, atMost: 1 }],
  // Started anew in each round: memory that was once taken is not always given back.
  begin: async (stage: Stage, peer: Peer): Promise<Trial> => ({
    measure: async () => {
      const site = await stage.start(peer, { upstream: 'static' });
      try {
        return await measure(site, stage.idleConnections);
      } finally {
        await site.stop();
      }
    },
    end: async () => {},
  }),
};

async function measure(site: Site, connections: number): Promise<Sample> {
  await (await hold(site, WARM_UP)).stop();
  await sleep(SETTLE_MS);
  const before = memoryOfTree(site.pid);
  const clients = await hold(site, connections);
  try {
    await sleep(SETTLE_MS);
    const after = memoryOfTree(site.pid);
    clients.send({});
    const { open } = await clients.next<{ open: number }>(10_000);
    if (open !== connections) throw new Error(`only ${open} of ${connections} connections stayed open`);
    return {
      each: ((after.pss - before.pss) * 1024) / connections,
      eachRss: ((after.rss - before.rss) * 1024) / connections,
      before: before.pss,
      after: after.pss,
      connections,
    };
  } finally {
    await clients.stop();
  }
}

async function hold({ target }: Site, connections: number): Promise<ScriptProcess> {
  const clients = new ScriptProcess(new URL('../clients/idle.ts', import.meta.url));
  const load: IdleLoad = { target, path: small.path, bodyBytes: small.bytes, connections };
  clients.send(load);
  const { failure } = await clients.next<{ failure?: string }>(120_000);
  if (failure === undefined) return clients;
  await clients.stop();
  throw new Error(failure);
}
