import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { fill, run } from './staging.ts';
import type { Writer } from './types.ts';

const day = 24 * 3600;

/** The real `cp`, which writes over the content of a file that exists. */
export const copy: Writer = {
  name: 'cp (in place)',
  async open(_t, directory) {
    await fill(directory, {});
    return async (files) => run('cp', ...(await fill(`${directory}-staged`, files)), directory);
  },
};

/** `cp -p` from a backup: every file comes with a date older than that of the file it replaces. */
export const rollBack: Writer = {
  name: 'roll-back (cp -p, older dates)',
  async open(_t, directory) {
    await fill(directory, {});
    let date = Math.floor(Date.now() / 1000);
    return async (files) => {
      date -= day;
      const paths = await fill(`${directory}-backup`, files);
      for (const path of paths) await utimes(path, date, date);
      await run('cp', '-p', ...paths, directory);
    };
  },
};

function rsync(name: string, ...flags: readonly string[]): Writer {
  return {
    name,
    async open(_t, directory) {
      await fill(directory, {});
      return async (files) => {
        await fill(`${directory}-staged`, files);
        // What changes within a second and keeps its size is not found by date.
        await run(
          'rsync',
          '--recursive',
          '--times',
          '--checksum',
          ...flags,
          `${directory}-staged/`,
          join(directory, '/'),
        );
      };
    },
  };
}

/** rsync into the files themselves. */
export const rsyncInPlace = rsync('rsync --inplace', '--inplace');

/** rsync as it is: a hidden temporary file for each, renamed. */
export const rsyncRename = rsync('rsync (temporary file, rename)');
