import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { workerSpreads } from '../support/spreads.ts';
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

  async start({ directory, port, upstreamPort, certificateFile, workers }: Setting): Promise<RunningPeer> {
    const upstream = `http://127.0.0.1:${upstreamPort}`;
    const flags = ['--certs', dirname(certificateFile), '--upstream', upstream, '--listen', `127.0.0.1:${port}`];
    const several = workers !== undefined && workers > 1;
    const log = ['--log-format', 'json', '--log-level', several ? 'debug' : 'warn'];
    const more = ['--admin', 'off', '--workers', String(workers ?? 1), ...log];
    const server = new ServerProcess(process.execPath, [main, 'serve', ...flags, ...more], directory);
    const spreads = () => workerSpreads(join(directory, 'output.log'), workers ?? 1);
    return { stop: () => server.stop(), ...(several && { spreads }) };
  },
};
