import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
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
    const { directory, workers, cpu } = setting;
    const several = workers !== undefined && workers > 1;
    const configuration = join(directory, 'swivel.yaml');
    // JSON is YAML.
    await writeFile(configuration, JSON.stringify(configure(setting)));
    const server = new ServerProcess(
      ...pinned(cpu, process.execPath, [...nodeFlags(), main, 'serve', '--config', configuration]),
      directory,
    );
    const spreads = () => workerSpreads(join(directory, 'output.log'), workers ?? 1);
    return { pid: server.pid, stop: () => server.stop(), ...(several && { spreads }) };
  },
};

function configure({
  port,
  upstreamPort,
  certificateFile,
  workers = 1,
  adminPort,
  accessLog = false,
}: Setting): object {
  const level = accessLog ? 'info' : workers > 1 ? 'debug' : 'warn';
  return {
    listeners: [{ address: `127.0.0.1:${port}` }],
    certificates: [{ path: dirname(certificateFile) }],
    upstreams: { application: { targets: [`http://127.0.0.1:${upstreamPort}`] } },
    routes: [{ upstream: 'application' }],
    admin: { address: adminPort === undefined ? 'off' : `127.0.0.1:${adminPort}` },
    log: { format: 'json', level, access: accessLog },
    workers,
  };
}
