import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findCommand, pinned, runCommand, ServerProcess } from './process.ts';
import type { Peer, RunningPeer, Setting } from './types.ts';

/** nginx: the file is replaced, then the master is told to reload. */
export const nginx: Peer = {
  name: 'nginx',
  how: 'rename, then nginx -s reload',
  find: () => findCommand('nginx', '-v'),

  async start(setting: Setting): Promise<RunningPeer> {
    const configuration = join(setting.directory, 'nginx.conf');
    await writeFile(configuration, configure(setting));
    const files = ['-p', setting.directory, '-c', configuration, '-e', join(setting.directory, 'error.log')];
    const server = new ServerProcess(...pinned(setting.cpu, 'nginx', files), setting.directory);
    return {
      pid: server.pid,
      announce: async () => {
        await runCommand('nginx', [...files, '-s', 'reload']);
      },
      stop: () => server.stop(),
    };
  },
};

function configure({ directory, port, upstreamPort, certificateFile, accessLog }: Setting): string {
  const temporaryPaths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log warn;
events { worker_connections 32768; }
http {
  access_log ${accessLog ? `${directory}/access.log` : 'off'};
  ${temporaryPaths.map((name) => `${name}_temp_path ${directory}/${name};`).join('\n  ')}
  keepalive_requests 10000000;
  client_max_body_size 0;
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream application { server 127.0.0.1:${upstreamPort}; keepalive 128; keepalive_requests 10000000; }
  server {
    listen 127.0.0.1:${port} ssl http2;
    ssl_certificate ${certificateFile};
    ssl_certificate_key ${certificateFile};
    location / {
      proxy_pass http://application;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_max_temp_file_size 0;
      proxy_request_buffering off;
    }
  }
}
`;
}
