import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findCommand, freePort, pinned, runCommand, ServerProcess } from './process.ts';
import type { Peer, RunningPeer, Setting } from './types.ts';

/** Caddy: the file is replaced, then the configuration is loaded again by force, since it has not changed. */
export const caddy: Peer = {
  name: 'caddy',
  how: 'rename, then caddy reload --force',
  find: () => findCommand('caddy', 'version'),

  async start(setting: Setting): Promise<RunningPeer> {
    const configuration = join(setting.directory, 'Caddyfile');
    await writeFile(configuration, configure(setting, await freePort()));
    const { directory } = setting;
    const env = { ...process.env, HOME: directory, XDG_CONFIG_HOME: directory, XDG_DATA_HOME: directory };
    const one = setting.cpu === undefined ? {} : { GOMAXPROCS: '1' };
    const files = ['--config', configuration, '--adapter', 'caddyfile'];
    const server = new ServerProcess(...pinned(setting.cpu, 'caddy', ['run', ...files]), directory, { ...env, ...one });
    return {
      pid: server.pid,
      announce: async () => {
        await runCommand('caddy', ['reload', '--force', ...files], env);
      },
      stop: () => server.stop(),
    };
  },
};

function configure(setting: Setting, adminPort: number): string {
  const { directory, port, upstreamPort, certificateFile, servername, accessLog } = setting;
  return `{
  admin 127.0.0.1:${adminPort}
  auto_https disable_redirects
  log {
    level WARN
  }
  servers {
    protocols h1 h2
  }
}
https://${servername}:${port} {
  bind 127.0.0.1
  tls ${certificateFile} ${certificateFile}
  ${
    accessLog
      ? `log {
    output file ${directory}/access.log
    level INFO
  }`
      : ''
  }
  reverse_proxy 127.0.0.1:${upstreamPort} {
    transport http {
      keepalive_idle_conns_per_host 128
    }
  }
}
`;
}
