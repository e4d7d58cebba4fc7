import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { pinned, ServerProcess } from './process.ts';
import type { Peer, RunningPeer, Setting } from './types.ts';

/** The maintained rewrite of http-proxy behind node:https; its certificate is never changed. */
export const httpProxy3 = scriptPeer('http-proxy-3', async () => {
  const manifest = await readFile(new URL('../../../node_modules/http-proxy/package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
});

/** Bytes between a TLS and a TCP socket of Node.js, without HTTP: the floor. */
export const pipe = scriptPeer('pipe', async () => `Node ${process.versions.node}`);

function scriptPeer(name: string, version: () => Promise<string>): Peer {
  const script = fileURLToPath(new URL(`../servers/${name}.ts`, import.meta.url));
  return {
    name,
    how: 'never',
    find: async () => {
      try {
        return { version: await version() };
      } catch {
        return { skipped: `${name} is not installed` };
      }
    },
    async start({ cpu, directory, port, upstreamPort, certificateFile }: Setting): Promise<RunningPeer> {
      const args = [script, String(port), String(upstreamPort), certificateFile];
      const server = new ServerProcess(...pinned(cpu, process.execPath, args), directory);
      return { pid: server.pid, stop: () => server.stop() };
    },
  };
}
