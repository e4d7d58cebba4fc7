import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

/** A plaintext service that answers a request with the SHA-256 of its body, once it has it all. It ends with the test. */
export async function startDigestUpstream(t: Pick<TestContext, 'after'>): Promise<string> {
  const server = createServer((incoming, response) => {
    const hash = createHash('sha256');
    incoming.on('data', (chunk: Buffer) => hash.update(chunk));
    incoming.on('end', () => response.end(hash.digest('hex')));
  });
  server.keepAliveTimeout = 120_000;
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** One upload, a chunk every few milliseconds. */
export interface Upload {
  /** Sends the rest. @returns whether the answer is the digest of what was sent */
  finish(): Promise<boolean>;
}

/** Begins an upload on a connection of its own; resolves when the first chunk is on its way. */
export async function startUpload(
  door: { readonly port: number; readonly ca: string },
  servername: string,
): Promise<Upload> {
  const outgoing = request({
    ...door,
    servername,
    host: '127.0.0.1',
    path: '/upload',
    method: 'POST',
    headers: { host: servername },
    agent: false,
  });
  const hash = createHash('sha256');
  const send = (size: number) => {
    const chunk = Buffer.alloc(size, size % 251);
    hash.update(chunk);
    return new Promise<void>((resolve, reject) =>
      outgoing.write(chunk, (error) => (error ? reject(error) : resolve())),
    );
  };
  const answered = once(outgoing, 'response');
  answered.catch(() => {});
  await send(1000);
  let finishing = false;
  const sending = (async () => {
    for (let i = 0; !finishing; i += 1) {
      await send(2000 + i);
      await pause(5);
    }
  })();
  sending.catch(() => {});
  return {
    finish: async () => {
      finishing = true;
      await sending;
      outgoing.end();
      const [response] = await answered;
      let body = '';
      for await (const chunk of response) body += String(chunk);
      return response.statusCode === 200 && body === hash.digest('hex');
    },
  };
}
