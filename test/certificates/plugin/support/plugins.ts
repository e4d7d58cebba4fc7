import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { PluginSource, type PluginSourceOptions } from '../../../../src/certificates/index.ts';
import { temporaryDirectory, writeAtomically } from '../../../support/files.ts';

/** The body of a plug-in module that answers each load with an expression over `options`, `context` and `loads`, the number of loads. */
export function answering(expression: string): string {
  return `export default (options, context) => {
    let loads = 0;
    return { load() { loads += 1; return (${expression}); } };
  };\n`;
}

/** The body of a plug-in module whose `load` runs statements. */
export function loading(statements: string): string {
  return `export default (options, context) => ({ async load({ signal }) { ${statements} } });\n`;
}

/** A plug-in that reads `tls.crt` and `tls.key`, and `neighbour` likewise, in the directory that its options name. */
export const directoryPlugin = `
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

export default ({ directory }) => ({
  async load() {
    const identities = [];
    for (const id of ['tls', 'neighbour']) {
      const read = (extension) => readFile(join(directory, id + extension), 'utf8');
      try {
        identities.push({ id, certificatePem: await read('.crt'), keyPem: await read('.key') });
      } catch (error) {
        if (error.code !== 'ENOENT') throw error;
      }
    }
    return { identities, watch: [directory] };
  },
});
`;

/** A module of this text, in a directory of its own. */
export async function moduleOf(t: TestContext, text: string, file = 'source.mjs'): Promise<string> {
  const module = join(await temporaryDirectory(t), file);
  await writeAtomically(module, text);
  return module;
}

/** A source over a module of this text, closed after the test. */
export async function pluginOf(
  t: TestContext,
  text: string,
  rest: Omit<PluginSourceOptions, 'module'> = {},
): Promise<PluginSource> {
  const source = new PluginSource({ module: await moduleOf(t, text), ...rest });
  t.after(() => source.close());
  return source;
}

/** Ids of the processes that run a module of this file name for a process, of this one by default. */
export function processesOf(file: string, host = process.pid): number[] {
  const read = (id: string, name: string) => {
    try {
      return readFileSync(`/proc/${id}/${name}`, 'utf8');
    } catch {
      return '';
    }
  };
  return readdirSync('/proc')
    .filter((id) => /^\d+$/.test(id) && read(id, 'cmdline').endsWith(`\0${file}\0`))
    .filter((id) => read(id, 'status').includes(`\nPPid:\t${host}\n`))
    .map(Number);
}
