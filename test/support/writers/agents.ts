import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { KubernetesVolume } from '../files.ts';
import { fill } from './staging.ts';
import type { Writer } from './types.ts';

/** kubelet: every file is a link into `..data`, which is swapped for all of them at once. */
export const kubernetes: Writer = {
  name: 'Kubernetes (..data swap)',
  async open(_t, directory) {
    const volume = new KubernetesVolume(directory);
    return (files) => volume.update(files);
  },
};

/**
 * Vault Agent and consul-template: a temporary file whose name is a number, filled, flushed to disk and renamed over the
 * file, one file after the other.
 */
export const vaultAgent: Writer = {
  name: 'Vault Agent (temporary file, rename)',
  async open(_t, directory) {
    await fill(directory, {});
    return async (files) => {
      for (const [name, content] of Object.entries(files)) {
        const temporary = join(directory, String(Math.floor(Math.random() * 2 ** 32)));
        const file = await open(temporary, 'wx');
        await file.writeFile(content);
        await file.sync();
        await file.close();
        await rename(temporary, join(directory, name));
      }
    };
  },
};
