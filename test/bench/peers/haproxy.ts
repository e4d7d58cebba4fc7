import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import type { Leaf } from '../../support/pki.ts';
import { findCommand, pinned, ServerProcess } from './process.ts';
import type { Peer, RunningPeer, Setting } from './types.ts';

/** HAProxy: the file is replaced for the next start, and the running process is given the same over its socket. */
export const haproxy: Peer = {
  name: 'haproxy',
  how: 'rename, then set and commit ssl cert',
  find: () => findCommand('haproxy', '-v'),

  async start(setting: Setting): Promise<RunningPeer> {
    const configuration = join(setting.directory, 'haproxy.cfg');
    const socket = join(setting.directory, 'admin.sock');
    await writeFile(configuration, configure(setting, socket));
    const server = new ServerProcess(
      ...pinned(setting.cpu, 'haproxy', ['-db', '-f', configuration]),
      setting.directory,
    );
    const { certificateFile } = setting;
    return {
      pid: server.pid,
      announce: async (leaf: Leaf) => {
        await command(socket, `set ssl cert ${certificateFile} <<\n${leaf.keyPem}${leaf.chainPem}\n`, 'created');
        await command(socket, `commit ssl cert ${certificateFile}\n`, 'Success');
      },
      stop: () => server.stop(),
    };
  },
};

async function command(socketPath: string, text: string, expected: string): Promise<void> {
  const socket = connect(socketPath);
  await once(socket, 'connect');
  socket.setTimeout(10_000, () => socket.destroy(new Error('HAProxy did not answer')));
  socket.write(text);
  let answer = '';
  for await (const chunk of socket.setEncoding('utf8')) answer += chunk;
  if (!answer.includes(expected)) throw new Error(`HAProxy: ${answer.trim()}`);
}

function configure({ port, upstreamPort, certificateFile, wholeDirectory }: Setting, socket: string): string {
  const certificates = wholeDirectory ? dirname(certificateFile) : certificateFile;
  return `
global
  nbthread 1
  stats socket ${socket} mode 600 level admin
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
frontend site
  bind 127.0.0.1:${port} ssl crt ${certificates} alpn h2,http/1.1
  default_backend application
backend application
  server one 127.0.0.1:${upstreamPort}
`;
}
