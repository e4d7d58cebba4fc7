import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { writeAtomically } from '../files.ts';
import { fill } from './staging.ts';
import type { Scope, Writer } from './types.ts';

/** Writes the first bytes of a file over another one, and hangs with it open. */
const half = 'exec 3<>"$2"; head -c "$3" "$1" >&3; echo half; read -r _';
const halfFromNothing = 'exec 3>"$2"; head -c "$3" "$1" >&3; echo half; read -r _';

/** Has a process write the first `count` bytes of a file over another one, and kills it before it comes to its end. */
async function dieHalfway(t: Scope, from: string, to: string, count: number, keepsRest: boolean): Promise<void> {
  const script = keepsRest ? half : halfFromNothing;
  const child = spawn('bash', ['-c', script, 'bash', from, to, String(count)], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const gone = once(child, 'close');
  child.kill('SIGKILL');
  await gone;
}

/** A writer that dies by `kill -9` in the middle of a file; another one follows and writes everything. */
export const killed: Writer = {
  name: 'kill -9 half-way, then a whole one',
  async open(t, directory) {
    await fill(directory, {});
    let attempts = 0;
    return async (files) => {
      attempts += 1;
      const staged = await fill(`${directory}-staged`, files);
      const victim = staged[attempts % staged.length] ?? '';
      // A little more of the file each time, over the old content and from nothing in turn.
      const share = (attempts % 20) / 20;
      const length = Buffer.byteLength(files[basename(victim)] ?? '');
      const target = join(directory, basename(victim));
      await dieHalfway(t, victim, target, Math.ceil(length * share), attempts % 2 === 0);
      await fill(directory, files);
    };
  },
};

/** The files one by one, each by rename, every other time from the last to the first. */
export const apart: Writer = {
  name: 'key and certificate apart, in either order',
  apart: true,
  async open(_t, directory) {
    await fill(directory, {});
    let turns = 0;
    return async (files, { halfway } = {}) => {
      const order = Object.entries(files);
      if (turns++ % 2 === 1) order.reverse();
      for (const [i, [name, content]] of order.entries()) {
        await writeAtomically(join(directory, name), content);
        if (i === 0) await halfway?.();
      }
    };
  },
};

/** The directory is deleted with all that is in it, made again and filled. */
export const recreated: Writer = {
  name: 'directory deleted and made again',
  async open(_t, directory) {
    return async (files) => {
      await rm(directory, { recursive: true, force: true });
      await fill(directory, files);
    };
  },
};
