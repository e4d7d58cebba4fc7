import { basename, dirname, extname, resolve } from 'node:path';
import { type Finding, finding } from '../../errors.ts';
import { type FileContent, ThreadedReader, type WatchTarget } from '../../files/index.ts';
import { Secret } from '../secret.ts';
import type { CertificateSource, SourceMaterial } from '../types.ts';
import { passphraseOf } from './assemble.ts';

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
      for (const fault of snapshot.faults.values()) {
        findings.push(finding(fault.code, 'error', { message: fault.message, file: path, identity: id }));
      }
      const [content] = snapshot.files.values();
      if (content) contents.set(path, content);
      else if (snapshot.faults.size === 0) {
        const message = `${path} does not exist`;
        findings.push(finding('SOURCE_MISSING', 'error', { message, file: path, identity: id }));
      }
    }
    const cert = contents.get(this.#paths.cert);
    const key = contents.get(this.#paths.key);
    const passphrase = this.#paths.passphrase === undefined ? undefined : contents.get(this.#paths.passphrase);
    if (!cert || !key || findings.length > 0) return { identities: [], findings, watch };
    const identity = {
      id,
      source: this.id,
      files: { certificate: cert.path, key: key.path },
      certificatePem: cert.bytes.toString('latin1'),
      keyPem: new Secret(key.bytes.toString('latin1')),
      ...(passphrase ? { passphrase: passphraseOf(passphrase) } : {}),
      ...(this.#names === undefined ? {} : { names: this.#names }),
    };
    return { identities: [identity], findings, watch };
  }
}
