import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { temporaryDirectory } from '../../../support/files.ts';

/** Why a test of what root may do cannot run here; false when it can. */
export const needsRoot = process.getuid?.() === 0 ? false : 'only root can give up its privileges';

const privileges = JSON.stringify(new URL('../../../../src/cluster/privileges/index.ts', import.meta.url).href);

/** Writes a module that begins with `import * as privileges`. @returns its path, readable by every user */
export async function scriptOf(t: TestContext, text: string): Promise<string> {
  const directory = await temporaryDirectory(t);
  await chmod(directory, 0o755);
  const path = join(directory, 'script.mjs');
  const imports = `import { readFileSync } from 'node:fs';\nimport * as privileges from ${privileges};\n`;
  await writeFile(path, `${imports}${text}`, { mode: 0o644 });
  return path;
}

/** Runs a command to its end, with no more than is given of the environment. */
export function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  stdin = '',
): SpawnSyncReturns<string> {
  const compileCache = process.env['NODE_COMPILE_CACHE'] ?? '';
  return spawnSync(command, args, {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: compileCache, ...env },
    input: stdin,
    timeout: 20_000,
  });
}

/** The last line of what was printed, as JSON. @throws with everything that was printed when it is none */
export function answerOf<T>({ stdout, stderr, status, signal }: SpawnSyncReturns<string>): T {
  try {
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as T;
  } catch {
    throw new Error(`no answer (${status ?? signal}): ${stdout}${stderr}`);
  }
}
