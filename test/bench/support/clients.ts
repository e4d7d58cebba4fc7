/**
 * Clients in a process of their own (see `findGenerator`). Messages: in `LoadSetting`, out `LoadResult`. It ends when
 * its channel closes.
 */
import { once } from 'node:events';
import https from 'node:https';
import { createSecureContext } from 'node:tls';
import type { LoadResult, LoadSetting } from './generate.ts';

process.on('disconnect', () => process.exit());
const [setting] = (await once(process, 'message')) as [LoadSetting];
const { kind, clients, seconds, target } = setting;
const secureContext = createSecureContext({ ca: target.ca });
const began = performance.now();
const result: LoadResult = { units: 0, seconds: 0, failed: 0 };

await Promise.all(Array.from({ length: clients }, client));
result.seconds = (performance.now() - began) / 1000;
process.send?.(result);

async function client(): Promise<void> {
  const agent = new https.Agent({ keepAlive: kind === 'keep-alive', maxSockets: 1, maxCachedSessions: 0 });
  while (performance.now() - began < seconds * 1000) {
    if (await exchange(agent)) result.units++;
    else result.failed++;
  }
  agent.destroy();
}

/** One request; false when it got no whole response with status 200. */
function exchange(agent: https.Agent): Promise<boolean> {
  const { host = '127.0.0.1', port, servername } = target;
  return new Promise((resolve) => {
    const options = { host, port, servername, agent, secureContext, headers: { host: servername } };
    const request = https.get(options);
    request.setTimeout(5_000, () => request.destroy());
    request.on('error', () => resolve(false));
    request.once('response', (response) => {
      response.once('close', () => resolve(response.complete && response.statusCode === 200));
      response.on('error', () => {});
      response.resume();
    });
  });
}
