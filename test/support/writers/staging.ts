import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Files } from './types.ts';

const execute = promisify(execFile);

/** Runs a program to its end. @throws when it fails, with what it printed */
export async function run(program: string, ...args: readonly string[]): Promise<void> {
  await execute(program, args);
}

/** Writes files into a directory, made when it is not there. @returns the path of each */
export async function fill(directory: string, files: Files): Promise<string[]> {
  await mkdir(directory, { recursive: true });
  const paths: string[] = [];
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory, name);
    await writeFile(path, content);
    paths.push(path);
  }
  return paths;
}
