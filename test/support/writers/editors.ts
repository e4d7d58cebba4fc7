import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fill, run } from './staging.ts';
import type { Writer } from './types.ts';

/** Bytes that are written at a time: about a line of PEM. */
const piece = 64;

/** An editor that cuts the file off and writes it again, a line at a time. */
export const editInPlace: Writer = {
  name: 'editor (truncate, write line by line)',
  async open(_t, directory) {
    await fill(directory, {});
    return async (files) => {
      for (const [name, content] of Object.entries(files)) {
        const bytes = Buffer.from(content);
        const file = await open(join(directory, name), 'w');
        for (let at = 0; at < bytes.length; at += piece)
          await file.write(bytes, at, Math.min(piece, bytes.length - at));
        await file.close();
      }
    };
  },
};

/** The real vim: the file is renamed to a backup, a new one is written under its name, and the backup goes. */
export const vim: Writer = {
  name: 'vim (rename to backup, write anew)',
  async open(_t, directory) {
    await fill(directory, {});
    const quiet = ['-u', 'NONE', '-i', 'NONE', '-N', '-n', '-es', '-b'];
    // vim makes no backups below /tmp unless it is told to.
    const settings = ['--cmd', 'set backupcopy=no writebackup backupskip='];
    return async (files) => {
      for (const path of await fill(`${directory}-staged`, files)) {
        await run('vim', ...quiet, ...settings, '-c', `write! ${join(directory, basename(path))}`, '-c', 'quit', path);
      }
    };
  },
};
