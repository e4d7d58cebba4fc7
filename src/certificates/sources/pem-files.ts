import { basename, dirname, extname, resolve } from 'node:path';
import { type ErrorCode, type Finding, finding } from '../../errors.ts';
import { type FileContent, ThreadedReader, type WatchTarget } from '../../files/index.ts';
import { Secret } from '../secret.ts';
import type { CertificateSource, SourceMaterial } from '../types.ts';
import { certificatesOf, passphraseOf } from './assemble.ts';

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
  readonly #readers = new Map<string, ThreadedReader>();

  constructor(options: PemFilesOptions) {
    this.id = options.cert;
    this.#names = options.names;
    this.#paths = {
      cert: resolve(options.cert),
      key: resolve(options.key),
      ...(options.passphraseFile === undefined ? {} : { passphrase: resolve(options.passphraseFile) }),
    };
    for (const path of Object.values(this.#paths)) this.#readers.set(path, new ThreadedReader());
  }

  get watch(): WatchTarget[] {
    return [...new Set(Object.values(this.#paths).map(dirname))].map((directory) => ({ directory, recursive: false }));
  }

  async load({ thorough }: { readonly thorough: boolean }): Promise<SourceMaterial> {
    const id = basename(this.#paths.cert, extname(this.#paths.cert));
    const findings: Finding[] = [];
    const watch: WatchTarget[] = this.watch;
    const contents = new Map<string, FileContent>();
    for (const [path, reader] of this.#readers) {
      const snapshot = await reader.read({ path, extensions: null, thorough });
      for (const target of snapshot.watch) {
        if (!watch.some((known) => known.directory === target.directory)) watch.push({ ...target, recursive: false });
      }
      // A directory gives what is below it: none of that was named.
      const content = [...snapshot.files.values()].find((file) => file.path === path);
      const fault = [...snapshot.faults.values()].find((one) => one.path === path);
      const found = (code: ErrorCode, message: string) =>
        findings.push(finding(code, 'error', { message, file: path, identity: id }));
      if (content) contents.set(path, content);
      else if (fault) found(fault.code, fault.message);
      else if (snapshot.exists) found('FILE_NOT_REGULAR', `${path} is a directory`);
      else found('SOURCE_MISSING', `${path} does not exist`);
    }
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
