import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { Load, summarize } from '../../test/support/load/load.ts';
import { forkUpstream, type Upstream } from '../../test/support/load/upstream.ts';

/** Clients that go on asking while something happens, few enough that a busy machine carries them. */
export interface ModestLoad {
  /** Ends it. No request may have failed, and some were made. */
  unharmed(): Promise<void>;
  /** Ends it. Some requests were made. @returns failures by kind and reason with their count */
  failures(): Promise<Record<string, number>>;
}

/** A plaintext service in a process of its own; it ends with the test. */
export async function serviceOf(t: Pick<TestContext, 'after'>): Promise<Upstream> {
  const upstream = await forkUpstream();
  t.after(() => upstream.close());
  return upstream;
}

/**
 * Starts clients of one name: kept-alive connections, new ones, HTTP/2 and WebSockets.
 * @param ca PEM of all authorities that they trust
 */
export async function startModestLoad(
  t: Pick<TestContext, 'after'>,
  { port }: { readonly port: number },
  servername: string,
  ca: string,
): Promise<ModestLoad> {
  const clients = { keepAliveClients: 6, freshPerSecond: 10, http2Connections: 2, webSockets: 2, downloadBytes: 0 };
  const load = new Load({ target: { port, servername, ca }, ...clients, thinkMs: 100, http2ThinkMs: 200 });
  t.after(() => load.abandon());
  await load.start();
  const failures = async () => {
    const report = await load.stop();
    assert.ok(report.requests > 0);
    return summarize(report);
  };
  return { failures, unharmed: async () => assert.deepEqual(await failures(), {}, servername) };
}
