import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** `nobody` on every Linux. */
const nobody = 65534;

const identity = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {};

/** Why a test of file permissions cannot run here; false when it can. */
export const cannotDropPrivileges = whyNot();

function whyNot(): string | false {
  const errors = fileURLToPath(new URL('../../../src/errors.ts', import.meta.url));
  const script = `require('node:fs').accessSync(${JSON.stringify(errors)})`;
  const { status } = spawnSync(process.execPath, ['--eval', script], { ...identity, cwd: '/', stdio: 'ignore' });
  return status === 0 ? false : 'a process without privileges cannot be started, or cannot read these sources';
}

/**
 * Runs a module's text in a process that file permissions apply to: root reads everything, so for root it runs as nobody.
 * @returns what it wrote to stdout, as JSON
 */
export async function runUnprivileged<T>(script: string): Promise<T> {
  const child = spawn(process.execPath, ['--eval', script], {
    ...identity,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`the script ended with ${code}`);
  return JSON.parse(Buffer.concat(chunks).toString()) as T;
}

/** The URL of a module, for a script's import. */
export function moduleOf(path: string): string {
  return JSON.stringify(new URL(`../../../src/${path}`, import.meta.url).href);
}
