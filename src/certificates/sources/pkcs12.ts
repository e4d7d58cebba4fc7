import { basename, extname, resolve } from 'node:path';
import type { WatchTarget } from '../../files/index.ts';
import { KeystoreReader } from '../pkcs12/index.ts';
import type { CertificateSource, SourceMaterial } from '../types.ts';
import { passphraseOf } from './file-material.ts';
import { NamedFiles } from './named-files.ts';

export interface Pkcs12Options {
  /** The keystore. */
  readonly pkcs12: string;
  /** Its first line is the passphrase; without it, the keystore must have none or an empty one. */
  readonly passphraseFile?: string;
  /** Overrides the names of the certificates. */
  readonly names?: readonly string[];
}

/**
 * A PKCS#12 keystore and perhaps its passphrase, each named by its own path. The id of its identity is the base name of the
 * keystore without the extension; with several keys, that and the alias of each.
 */
export class Pkcs12Source implements CertificateSource {
  readonly id: string;
  readonly #path: string;
  readonly #passphrase: string | undefined;
  readonly #overrides: { readonly names?: readonly string[] };
  readonly #files: NamedFiles;
  readonly #reader = new KeystoreReader();

  constructor({ pkcs12, passphraseFile, names }: Pkcs12Options) {
    this.id = pkcs12;
    this.#path = resolve(pkcs12);
    this.#passphrase = passphraseFile === undefined ? undefined : resolve(passphraseFile);
    this.#overrides = names === undefined ? {} : { names };
    this.#files = new NamedFiles(this.#passphrase === undefined ? [this.#path] : [this.#path, this.#passphrase]);
  }

  get watch(): WatchTarget[] {
    return this.#files.watch;
  }

  async load({ thorough }: { readonly thorough: boolean }): Promise<SourceMaterial> {
    const id = basename(this.#path, extname(this.#path));
    const { contents, findings, watch } = await this.#files.read(thorough, id);
    const content = contents.get(this.#path);
    const passphrase = this.#passphrase === undefined ? undefined : contents.get(this.#passphrase);
    if (!content || findings.length > 0) return { identities: [], findings, watch };
    const secret = passphrase ? { passphrase: passphraseOf(passphrase) } : {};
    const opened = await this.#reader.open([{ id, source: this.id, content, ...secret }]);
    const identities = opened.identities.map((one) => ({ ...one, ...this.#overrides }));
    return { identities, findings: opened.findings, watch };
  }
}
