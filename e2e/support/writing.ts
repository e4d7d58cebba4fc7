import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';

const script = `
  const fs = require('node:fs');
  const [path, flags, half] = process.argv.slice(1);
  const file = fs.openSync(path, flags);
  fs.writeSync(file, half);
  process.stdout.write('half');
  setInterval(() => {}, 1000);
`;

/** A process that has written half of a file, and goes no further. */
export class StuckWriter {
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Ends it with SIGKILL: the file stays as it is. */
  async kill(): Promise<void> {
    const gone = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

/**
 * Has a process of its own write the first half of a text over a file, in place.
 * @param keepsRest what the file held beyond stays (`r+`); else it is cut off first (`w`)
 */
export async function writeHalf(
  t: Pick<TestContext, 'after'>,
  path: string,
  text: string,
  keepsRest = false,
): Promise<StuckWriter> {
  const half = text.slice(0, Math.floor(text.length / 2));
  const child = spawn(process.execPath, ['-e', script, path, keepsRest ? 'r+' : 'w', half], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return new StuckWriter(child);
}
