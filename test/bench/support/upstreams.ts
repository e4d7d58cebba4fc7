import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ScriptProcess } from '../../support/child.ts';
import { findCommand, freePort, ServerProcess } from '../peers/process.ts';
import { bodies, UPLOAD_BYTES } from './bodies.ts';
import { processTree } from './process-tree.ts';

export interface BenchUpstream {
  readonly port: number;
  /** Its processes. */
  pids(): number[];
  stop(): Promise<void>;
}

/** Fixed bodies as cheaply as this machine can serve them: by nginx where it is installed, else by Node.js. */
export async function startStaticUpstream(directory: string): Promise<BenchUpstream> {
  if ('skipped' in (await findCommand('nginx', '-v'))) return startNodeUpstream();
  for (const { path, bytes } of bodies) await writeFile(join(directory, path), 'x'.repeat(bytes));
  const configuration = join(directory, 'nginx.conf');
  const port = await freePort();
  await writeFile(configuration, configure(directory, port));
  const files = ['-p', directory, '-c', configuration, '-e', join(directory, 'error.log')];
  const server = new ServerProcess('nginx', files, directory);
  await untilItAnswers(`http://127.0.0.1:${port}/1k`);
  return { port, pids: () => processTree(server.pid), stop: () => server.stop() };
}

/** The same bodies, a sink for uploads of `UPLOAD_BYTES` (any other length is answered with 400) and a WebSocket echo. */
export async function startNodeUpstream(): Promise<BenchUpstream> {
  const script = new ScriptProcess(new URL('../servers/upstream.ts', import.meta.url));
  script.send({ bodies, uploadBytes: UPLOAD_BYTES });
  const { port } = await script.next<{ port: number }>(10_000);
  return { port, pids: () => (script.pid === undefined ? [] : [script.pid]), stop: () => script.stop() };
}

function configure(directory: string, port: number): string {
  const temporaryPaths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const small = bodies.filter(({ bytes }) => bytes <= 1024);
  return `
daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log warn;
events { worker_connections 32768; }
http {
  access_log off;
  ${temporaryPaths.map((name) => `${name}_temp_path ${directory}/${name};`).join('\n  ')}
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=16 inactive=1h;
  default_type application/octet-stream;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    root ${directory};
    ${small.map(({ path, bytes }) => `location = ${path} { return 200 "${'x'.repeat(bytes)}"; }`).join('\n    ')}
  }
}
`;
}

async function untilItAnswers(url: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const answer = await fetch(url).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok) return;
    await sleep(50);
  }
  throw new Error(`${url} does not answer`);
}
