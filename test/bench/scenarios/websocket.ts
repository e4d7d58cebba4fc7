import { ScriptProcess } from '../../support/child.ts';
import type { WebSocketReport } from '../clients/types.ts';
import type { Peer } from '../peers/types.ts';
import type { Stage } from '../suite/stage.ts';
import type { Scenario, Trial } from '../suite/types.ts';
import { everyone, figuresOf, sampleOf } from './load.ts';

const CONNECTIONS = 32;
const BYTES = 128;
const WARM_UP_SECONDS = 2;

export const websocket: Scenario = {
  name: 'websocket',
  title: `WebSocket, ${BYTES}-byte messages and their echo, ${CONNECTIONS} connections`,
  peers: everyone,
  targets: [],
  figures: figuresOf('echo', 'echoes'),
  async begin(stage: Stage, peer: Peer): Promise<Trial> {
    const site = await stage.start(peer, { upstream: 'node' });
    const clients = new ScriptProcess(new URL('../clients/websockets.ts', import.meta.url));
    const end = async () => {
      await clients.stop();
      await site.stop();
    };
    const converse = async (seconds: number) => {
      clients.send({ seconds });
      const report = await clients.next<WebSocketReport>((seconds + 20) * 1000);
      if (report.failure !== undefined) throw new Error(report.failure);
      return { ...report, bytes: report.units * BYTES };
    };
    try {
      clients.send({ target: site.target, connections: CONNECTIONS, bytes: BYTES });
      await clients.next(20_000);
      await converse(WARM_UP_SECONDS);
    } catch (error) {
      await end();
      throw error;
    }
    return {
      measure: async () => {
        const { result, usage } = await site.using(
          () => converse(stage.seconds),
          clients.pid === undefined ? [] : [clients.pid],
        );
        return sampleOf(result, result.units, usage);
      },
      end,
    };
  },
};
