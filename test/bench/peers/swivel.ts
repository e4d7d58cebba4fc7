import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { workerSpreads } from '../support/spreads.ts';
import { pinned, ServerProcess } from './process.ts';
import type { Peer, RunningPeer, Setting } from './types.ts';

const root = new URL('../../../', import.meta.url);
/** `SWIVEL_MAIN` measures another checkout (or build) with the same benchmark. */
const main = process.env['SWIVEL_MAIN'] ?? fileURLToPath(new URL('src/main.ts', root));

/** For its Node.js: `--cpu-prof` and the like. */
const nodeFlags = () => (process.env['SWIVEL_NODE_FLAGS'] ?? '').split(' ').filter((flag) => flag !== '');

/** Swivel: the file is replaced, and that is all. */
export const swivel: Peer = {
  name: 'swivel',
  how: 'rename',

  async find() {
    if (!existsSync(main)) return { skipped: `${main} does not exist` };
    const { version } = JSON.parse(await readFile(join(dirname(main), '..', 'package.json'), 'utf8')) as {
      version: string;
    };
    return { version: `${version} on Node ${process.versions.node}` };
  },

  async start(setting: Setting): Promise<RunningPeer> {
    const { directory, port, upstreamPort, certificateFile, workers, adminPort, cpu } = setting;
    const upstream = `http://127.0.0.1:${upstreamPort}`;
    const flags = ['--certs', dirname(certificateFile), '--upstream', upstream, '--listen', `127.0.0.1:${port}`];
    const several = workers !== undefined && workers > 1;
    const log = ['--log-format', 'json', '--log-level', several ? 'debug' : 'warn'];
    const admin = adminPort === undefined ? 'off' : `127.0.0.1:${adminPort}`;
    const more = ['--admin', admin, '--workers', String(workers ?? 1), ...log];
    const server = new ServerProcess(
      ...pinned(cpu, process.execPath, [...nodeFlags(), main, 'serve', ...flags, ...more]),
      directory,
    );
    const spreads = () => workerSpreads(join(directory, 'output.log'), workers ?? 1);
    return { pid: server.pid, stop: () => server.stop(), ...(several && { spreads }) };
  },
};
