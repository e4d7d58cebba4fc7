import { resolve } from 'node:path';
import { finding } from '../../errors.ts';
import { ThreadedReader } from '../../files/index.ts';
import type { CertificateSource, SourceMaterial } from '../types.ts';
import { assemble, extensions } from './assemble.ts';

/** A directory of PEM files (searched with its sub-directories), or one PEM file that holds key and certificate. */
export class PemDirectorySource implements CertificateSource {
  readonly id: string;
  readonly #path: string;
  readonly #names: readonly string[] | undefined;
  readonly #reader = new ThreadedReader();

  /**
   * @param path a directory or a file
   * @param names overrides the names of the certificates
   */
  constructor(path: string, names?: readonly string[]) {
    this.id = path;
    this.#path = resolve(path);
    this.#names = names;
  }

  get watch() {
    return [{ directory: this.#path, recursive: true }];
  }

  async load({ thorough }: { readonly thorough: boolean }): Promise<SourceMaterial> {
    const snapshot = await this.#reader.read({ path: this.#path, extensions, thorough });
    if (!snapshot.exists) {
      const missing = finding('SOURCE_MISSING', 'error', { file: this.#path });
      return { identities: [], findings: [missing], watch: snapshot.watch };
    }
    const { identities, findings } = assemble(this.id, snapshot);
    const nothing = identities.length === 0 && findings.length === 0;
    return {
      identities:
        this.#names === undefined ? identities : identities.map((one) => ({ ...one, names: this.#names ?? [] })),
      findings: nothing ? [finding('SOURCE_EMPTY', 'error', { file: this.#path })] : findings,
      watch: snapshot.watch,
    };
  }
}
