import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The address of the upstream that shows what it receives; for `npm start` and first steps. */
export const demoTarget = 'builtin:demo';

export interface DemoUpstream {
  readonly url: URL;
  close(): void;
}

/** A plaintext service that shows the request it received. Listens on loopback, on a free port. */
export async function startDemoUpstream(): Promise<DemoUpstream> {
  const server = createServer((request, response) => {
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    request.on('end', () => {
      const certificate = request.headers['x-swivel-certificate'];
      const seen = {
        certificate,
        method: request.method,
        url: request.url,
        headers: request.headers,
        bodyBytes: bytes,
      };
      response.setHeader('content-type', 'application/json');
      response.end(`${JSON.stringify(seen, null, 2)}\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: new URL(`http://127.0.0.1:${port}`),
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
