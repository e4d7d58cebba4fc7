import { basename, extname, resolve } from 'node:path';
import type { WatchTarget } from '../../files/index.ts';
import { Secret } from '../secret.ts';
import type { CertificateSource, SourceMaterial } from '../types.ts';
import { certificatesOf, passphraseOf } from './file-material.ts';
import { NamedFiles } from './named-files.ts';

export interface PemFilesOptions {
  readonly cert: string;
  readonly key: string;
  readonly passphraseFile?: string;
  /** Overrides the names of the certificate. */
  readonly names?: readonly string[];
}

/** A certificate, its key and perhaps a passphrase, each named by its own path. */
export class PemFilesSource implements CertificateSource {
  readonly id: string;
  readonly #paths: { readonly cert: string; readonly key: string; readonly passphrase?: string };
  readonly #names: readonly string[] | undefined;
  readonly #files: NamedFiles;

  constructor(options: PemFilesOptions) {
    this.id = options.cert;
    this.#names = options.names;
    this.#paths = {
      cert: resolve(options.cert),
      key: resolve(options.key),
      ...(options.passphraseFile === undefined ? {} : { passphrase: resolve(options.passphraseFile) }),
    };
    this.#files = new NamedFiles(Object.values(this.#paths));
  }

  get watch(): WatchTarget[] {
    return this.#files.watch;
  }

  async load({ thorough }: { readonly thorough: boolean }): Promise<SourceMaterial> {
    const id = basename(this.#paths.cert, extname(this.#paths.cert));
    const { contents, findings, watch } = await this.#files.read(thorough, id);
    const cert = contents.get(this.#paths.cert);
    const key = contents.get(this.#paths.key);
    const passphrase = this.#paths.passphrase === undefined ? undefined : contents.get(this.#paths.passphrase);
    if (!cert || !key || findings.length > 0) return { identities: [], findings, watch };
    const identity = {
      id,
      source: this.id,
      files: { certificate: cert.path, key: key.path },
      certificatePem: certificatesOf(cert),
      keyPem: new Secret(key.bytes.toString('latin1')),
      ...(passphrase ? { passphrase: passphraseOf(passphrase) } : {}),
      ...(this.#names === undefined ? {} : { names: this.#names }),
    };
    return { identities: [identity], findings, watch };
  }
}
