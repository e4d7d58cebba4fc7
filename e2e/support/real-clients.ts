import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

/** How a program ended. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, with what it is to read. */
async function finish(command: string, args: readonly string[], input = ''): Promise<Finished> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  // One that ends before it has read everything is no trouble.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const closed = once(child, 'close');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = await closed;
  return { code: code as number | null, stdout, stderr };
}

/** What curl says by its exit code when it does not trust a certificate. */
export const curlDistrusts = 60;

/** `curl` that trusts the authorities of one file. */
export function curl(port: number, host: string, cacert: string): Promise<Finished> {
  const limits = ['--silent', '--show-error', '--noproxy', '*', '--max-time', '20'];
  const place = ['--resolve', `${host}:${port}:127.0.0.1`, '--cacert', cacert];
  return finish('curl', [...limits, ...place, `https://${host}:${port}/`]);
}

/**
 * `openssl s_client`: a handshake, and a request to whose end it waits.
 * @param flags more of them
 */
export function openssl(port: number, host: string, flags: readonly string[]): Promise<Finished> {
  const place = ['-connect', `127.0.0.1:${port}`, '-servername', host];
  const request = `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  return finish('openssl', ['s_client', ...place, '-ign_eof', ...flags], request);
}

/** Whether it went on with an earlier session. */
export function isResumed({ stdout }: Finished): boolean {
  return /^Reused, TLSv1\.[23]/m.test(stdout);
}
