import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { temporaryDirectory, writeAtomically } from '../../support/files.ts';
import { directoryPlugin, pluginOf } from '../plugin/support/plugins.ts';
import { type Contents, conforms, isolates, type WideFixture } from './conformance.ts';

async function plugin(t: TestContext): Promise<WideFixture> {
  const directory = await temporaryDirectory(t);
  const pair = async (id: string, { chainPem, keyPem }: Contents) => {
    await writeAtomically(join(directory, `${id}.key`), keyPem);
    await writeAtomically(join(directory, `${id}.crt`), chainPem);
  };
  return {
    source: await pluginOf(t, directoryPlugin, { options: { directory } }),
    identity: 'tls',
    learnsWatch: true,
    put: (contents) => pair('tls', contents),
    putNeighbour: (contents) => pair('neighbour', contents),
    async clear() {
      for (const file of ['tls.key', 'tls.crt']) await rm(join(directory, file));
    },
  };
}

conforms('a plug-in that reads files', plugin);
isolates('a plug-in that reads files', plugin);
