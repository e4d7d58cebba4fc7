import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { DevelopmentSource } from '../../../src/certificates/index.ts';
import { temporaryDirectory, writeAtomically } from '../../support/files.ts';
import { type Contents, conforms, isolates, type WideFixture } from './conformance.ts';

async function development(t: TestContext): Promise<WideFixture> {
  const directory = await temporaryDirectory(t);
  const pair = async (id: string, { chainPem, keyPem }: Contents) => {
    await writeAtomically(join(directory, `${id}.key`), keyPem);
    await writeAtomically(join(directory, `${id}.crt`), chainPem);
  };
  return {
    source: new DevelopmentSource({ path: directory, names: ['a.test'] }),
    identity: 'tls',
    fillsItself: true,
    put: (contents) => pair('tls', contents),
    putNeighbour: (contents) => pair('neighbour', contents),
    async clear() {
      for (const file of ['tls.key', 'tls.crt']) await rm(join(directory, file));
    },
  };
}

conforms('a development directory', development);
isolates('a development directory', development);
