import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { buffer } from 'node:stream/consumers';
import type { LoadTarget } from '../../support/load/types.ts';

/** Asks once, on a connection of its own, and rejects unless the answer is 200 with a body of exactly this length. */
export async function checkAnswer(target: LoadTarget, body: { path: string; bytes: number }): Promise<void> {
  const { host = '127.0.0.1', port, servername, ca } = target;
  const headers = { host: `${servername}:${port}` };
  const asked = request({ host, port, servername, ca, path: body.path, headers, agent: false }).end();
  const [response] = (await once(asked, 'response', { signal: AbortSignal.timeout(10_000) })) as [IncomingMessage];
  const { length } = await buffer(response);
  if (response.statusCode !== 200 || length !== body.bytes)
    throw new Error(`${body.path} is answered with ${response.statusCode} and ${length} bytes`);
}
