import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ServerProcess } from './process.ts';
import type { Peer, RunningPeer, Setting } from './types.ts';

const root = new URL('../../../', import.meta.url);
const main = fileURLToPath(new URL('src/main.ts', root));

/** Swivel: the file is replaced, and that is all. */
export const swivel: Peer = {
  name: 'swivel',
  how: 'rename',

  async find() {
    if (!existsSync(main)) return { skipped: 'src/main.ts does not exist' };
    const { version } = JSON.parse(await readFile(new URL('package.json', root), 'utf8')) as { version: string };
    return { version: `${version} on Node ${process.versions.node}` };
  },

  async start({ directory, port, upstreamPort, certificateFile }: Setting): Promise<RunningPeer> {
    const upstream = `http://127.0.0.1:${upstreamPort}`;
    const flags = ['--certs', dirname(certificateFile), '--upstream', upstream, '--listen', `127.0.0.1:${port}`];
    const quiet = ['--admin', 'off', '--log-level', 'warn'];
    const server = new ServerProcess(process.execPath, [main, 'serve', ...flags, ...quiet], directory);
    return { stop: () => server.stop() };
  },
};
