import { resolve } from 'node:path';
import { type Finding, finding } from '../../errors.ts';
import { type Snapshot, ThreadedReader } from '../../files/index.ts';
import { KeystoreReader } from '../pkcs12/index.ts';
import type { CertificateSource, SourceMaterial } from '../types.ts';
import { assemble, extensions, shadowedKeystore } from './assemble.ts';

/**
 * A directory of PEM files and PKCS#12 keystores (searched with its sub-directories), or one PEM file that holds key and
 * certificate.
 */
export class PemDirectorySource implements CertificateSource {
  readonly id: string;
  readonly #path: string;
  readonly #names: readonly string[] | undefined;
  readonly #reader = new ThreadedReader();
  readonly #keystores = new KeystoreReader();

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
    const { identities, findings } = await this.#assemble(snapshot);
    const nothing = identities.length === 0 && findings.length === 0;
    return {
      identities:
        this.#names === undefined ? identities : identities.map((one) => ({ ...one, names: this.#names ?? [] })),
      findings: nothing ? [finding('SOURCE_EMPTY', 'error', { file: this.#path })] : findings,
      watch: snapshot.watch,
    };
  }
  async #assemble(snapshot: Snapshot): Promise<Pick<SourceMaterial, 'identities' | 'findings'>> {
    const { identities, keystores, findings } = assemble(this.id, snapshot);
    const opened = await this.#keystores.open(keystores);
    const known = new Map(identities.map((one) => [one.id, one]));
    const shadowed: Finding[] = [];
    // The alias of a key may make up an id that a file in a sub-directory has.
    for (const one of opened.identities) {
      const other = known.get(one.id);
      if (other) shadowed.push(shadowedKeystore(one.id, one.files.key, other.files.certificate));
      else known.set(one.id, one);
    }
    return { identities: [...known.values()], findings: [...findings, ...opened.findings, ...shadowed] };
  }
}
