import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeAtomically } from '../files.ts';
import type { MountNamespace } from './mount-namespace.ts';
import { fill } from './staging.ts';
import type { Files, Writer } from './types.ts';

/** Each time another directory is mounted over the one that is read: no event tells of it. */
export function mountedOver(namespace: MountNamespace): Writer {
  return {
    name: 'another directory mounted over',
    async open(_t, directory) {
      await mkdir(directory);
      let count = 0;
      return async (files) => {
        count += 1;
        await fill(`${directory}-${count}`, files);
        await namespace.run('mount', '--bind', `${directory}-${count}`, directory);
      };
    },
  };
}

/** What is read through FUSE is changed behind it, by rename and in place in turn: no event tells of it. */
export function behindFuse(namespace: MountNamespace): Writer {
  return {
    name: 'FUSE (bindfs), changed on the other side',
    async open(t, directory) {
      await mkdir(directory);
      const behind = `${directory}-behind`;
      await fill(behind, {});
      await namespace.mountBy(t, directory, 'bindfs', '-f', behind, directory);
      let count = 0;
      return (files) => (count++ % 2 === 0 ? renameEach(behind, files) : fill(behind, files).then(() => {}));
    },
  };
}

/** The lower layer of an overlay is changed in place underneath: no event tells of it. */
export function belowOverlay(namespace: MountNamespace): Writer {
  return {
    name: 'overlay, lower layer changed in place',
    async open(_t, directory) {
      const [lower, upper] = [`${directory}-lower`, `${directory}-upper`];
      for (const path of [directory, lower, upper]) await mkdir(path);
      let mounted = false;
      return async (files) => {
        await fill(lower, files);
        if (mounted) return;
        mounted = true;
        await namespace.run('mount', '-t', 'overlay', 'overlay', '-o', `lowerdir=${upper}:${lower}`, directory);
      };
    },
  };
}

async function renameEach(directory: string, files: Files): Promise<void> {
  for (const [name, content] of Object.entries(files)) await writeAtomically(join(directory, name), content);
}
