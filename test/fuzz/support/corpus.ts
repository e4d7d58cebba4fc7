import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../corpus/', import.meta.url));

/** The stored inputs of a target, smallest first. */
export function loadCorpus(target: string): Buffer[] {
  const directory = join(root, target);
  mkdirSync(directory, { recursive: true });
  const inputs = readdirSync(directory).map((name) => readFileSync(join(directory, name)));
  return inputs.sort((a, b) => a.length - b.length || a.compare(b));
}

/** Stores an input beside the others. @returns where */
export function storeInput(target: string, input: Buffer): string {
  const name = createHash('sha256').update(input).digest('hex').slice(0, 16);
  const path = join(root, target, name);
  mkdirSync(join(root, target), { recursive: true });
  writeFileSync(path, input);
  return path;
}

/** Stores these inputs in place of the others. */
export function storeCorpus(target: string, inputs: readonly Buffer[]): void {
  rmSync(join(root, target), { recursive: true, force: true });
  for (const input of inputs) storeInput(target, input);
}
