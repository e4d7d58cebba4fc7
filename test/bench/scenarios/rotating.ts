import { setTimeout as sleep } from 'node:timers/promises';
import { writeAtomically } from '../../support/files.ts';
import { presentedFingerprint } from '../../support/load/probe.ts';
import type { Peer } from '../peers/types.ts';
import { SERVERNAME, type Site, type Stage } from '../suite/stage.ts';
import type { Scenario, Trial } from '../suite/types.ts';
import { bodies } from '../support/bodies.ts';
import { checkAnswer } from '../support/check-answer.ts';
import { type LoadFigures, wrk } from '../support/wrk.ts';

const [small] = bodies;
const CONNECTIONS = 32;
const WARM_UP_SECONDS = 2;
const SETTLE_MS = 500;

/** A rotation in the middle of each second. */
const FIRST_MS = 500;
const EVERY_MS = 1000;

/** As fast as the connections can. */
export const rotating = rotatingScenario('rotating', `as fast as ${CONNECTIONS} connections can`, '');

/** With a pause before each request, so that the proxy has time left: what the rotation takes is all that delays them. */
export const rotatingPaced = rotatingScenario(
  'rotating-paced',
  `${CONNECTIONS} connections, 5 ms between requests`,
  'function delay() return 5 end\n',
);

function rotatingScenario(name: string, load: string, script: string): Scenario {
  return {
    name,
    title: `A rotation a second, keep-alive 1 KiB, ${load}`,
    peers: ['haproxy', 'swivel'],
    figures: [
      { name: 'p99', title: '99 %, rotating', unit: 'ms' },
      { name: 'p99Quiet', title: '99 %, quiet', unit: 'ms' },
      { name: 'p50', title: 'median, rotating', unit: 'ms' },
      { name: 'p50Quiet', title: 'median, quiet', unit: 'ms' },
      { name: 'p999', title: '99.9 %, rotating', unit: 'ms' },
      { name: 'p999Quiet', title: '99.9 %, quiet', unit: 'ms' },
      { name: 'rate', title: 'requests, rotating', unit: '/s' },
      { name: 'rateQuiet', title: 'requests, quiet', unit: '/s' },
    ],
    targets: [{ figure: 'p99', against: { figure: 'p99Quiet' }, atMost: 1.1 }],
    async begin(stage: Stage, peer: Peer): Promise<Trial> {
      const site = await stage.start(peer, { upstream: 'static' });
      const requests = (seconds: number) =>
        wrk({
          url: site.url(small.path),
          connections: CONNECTIONS,
          seconds,
          script,
          directory: site.setting.directory,
          bodyBytes: small.bytes,
        });
      try {
        await checkAnswer(site.target, small);
        await requests(WARM_UP_SECONDS);
        await rotate(site, stage, 1);
      } catch (error) {
        await site.stop();
        throw error;
      }
      let round = 0;
      const quiet = () => requests(stage.seconds);
      const rotated = async (): Promise<LoadFigures> => {
        const [load] = await Promise.all([requests(stage.seconds), rotate(site, stage, stage.seconds)]);
        return load;
      };
      return {
        measure: async () => {
          // The order changes, so that what comes with time is on neither side.
          const quietFirst = round++ % 2 === 0;
          const first = await (quietFirst ? quiet() : rotated());
          await sleep(SETTLE_MS);
          const second = await (quietFirst ? rotated() : quiet());
          await sleep(SETTLE_MS);
          const [without, during] = quietFirst ? [first, second] : [second, first];
          return {
            ...during.latency,
            p50Quiet: without.latency.p50,
            p99Quiet: without.latency.p99,
            p999Quiet: without.latency.p999,
            rate: during.units / during.seconds,
            rateQuiet: without.units / without.seconds,
          };
        },
        end: () => site.stop(),
      };
    },
  };
}

/** Replaces the certificate once in each of some seconds; rejects when the last one is not served. */
async function rotate(site: Site, { authority }: Stage, times: number): Promise<void> {
  // Issued beforehand: making keys would take processor time from what is measured.
  const leaves = await Promise.all(Array.from({ length: times }, () => authority.issue({ names: [SERVERNAME] })));
  const began = performance.now();
  for (const [index, leaf] of leaves.entries()) {
    await sleep(Math.max(0, began + FIRST_MS + index * EVERY_MS - performance.now()));
    await writeAtomically(site.setting.certificateFile, leaf.keyPem + leaf.chainPem);
    await site.announce?.(leaf);
  }
  await sleep(EVERY_MS - FIRST_MS);
  const presented = await presentedFingerprint(site.target);
  if (presented !== leaves.at(-1)?.fingerprint256) throw new Error('the last certificate is not served');
}
