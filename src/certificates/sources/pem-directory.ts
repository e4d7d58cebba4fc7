import { resolve } from 'node:path';
import { type Finding, finding } from '../../errors.ts';
import { type Snapshot, ThreadedReader } from '../../files/index.ts';
import { KeystoreReader } from '../pkcs12/index.ts';
import type { CertificateSource, IdentityMaterial, LoadOptions, SourceMaterial } from '../types.ts';
import { Assembler } from './assemble.ts';
import { shadowedKeystore } from './assembly.ts';
import { extensions } from './file-names.ts';

/**
 * A directory of PEM files and PKCS#12 keystores (searched with its sub-directories), or one PEM file that holds key and
 * certificate.
 */
export class PemDirectorySource implements CertificateSource {
  readonly id: string;
  readonly #path: string;
  readonly #names: readonly string[] | undefined;
  readonly #reader = new ThreadedReader();
  readonly #assembler: Assembler;
  readonly #keystores = new KeystoreReader();

  /**
   * @param path a directory or a file
   * @param names overrides the names of the certificates
   */
  constructor(path: string, names?: readonly string[]) {
    this.id = path;
    this.#path = resolve(path);
    this.#names = names;
    this.#assembler = new Assembler(path);
  }

  get watch() {
    return [{ directory: this.#path, recursive: true }];
  }

  async load(options: LoadOptions): Promise<SourceMaterial> {
    const snapshot = await this.#reader.read({ path: this.#path, extensions, ...options });
    if (!snapshot.exists) {
      const missing = finding('SOURCE_MISSING', 'error', { file: this.#path });
      return { identities: [], findings: [missing], watch: snapshot.watch };
    }
    const { identities, findings, since } = await this.#assemble(snapshot);
    const nothing = identities.length === 0 && findings.length === 0;
    const names = this.#names;
    return {
      identities: names === undefined ? identities : identities.map((one) => withNames(one, names)),
      findings: nothing ? [finding('SOURCE_EMPTY', 'error', { file: this.#path })] : findings,
      watch: snapshot.watch,
      ...(since && names === undefined ? { since } : {}),
    };
  }

  async #assemble(snapshot: Snapshot): Promise<Pick<SourceMaterial, 'identities' | 'findings' | 'since'>> {
    const { identities, keystores, findings, since } = this.#assembler.assemble(snapshot);
    const opened = await this.#keystores.open(keystores);
    if (opened.identities.length === 0) {
      return { identities, findings: [...findings, ...opened.findings], ...(since ? { since } : {}) };
    }
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

function withNames(
  { id, source, files, certificatePem, keyPem, passphrase }: IdentityMaterial,
  names: readonly string[],
): IdentityMaterial {
  return { id, source, files, certificatePem, keyPem, names, ...(passphrase ? { passphrase } : {}) };
}
