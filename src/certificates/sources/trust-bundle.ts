import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Finding, finding } from '../../errors.ts';
import { type FileContent, type Snapshot, ThreadedReader } from '../../files/index.ts';
import type { CertificateSource, SourceMaterial } from '../types.ts';

export interface TrustBundleOptions {
  /** The name under which the configuration refers to the bundle. */
  readonly id: string;
  /** A file of any name, or a directory. */
  readonly path: string;
}

/** What of a directory belongs to the bundle, in any case. */
const extensions: ReadonlySet<string> = new Set(['.pem', '.crt', '.cer', '.crl', '.der']);
/** Milliseconds after which a file that was gone is believed to be: there are writers that delete, then create. */
const absenceDelay = 100;

/**
 * The CA certificates and CRLs of one trust bundle: a file, or a directory with its sub-directories. It is handed on whole or not at all: a
 * file that cannot be read may be the CRL that keeps somebody out.
 */
export class TrustBundleSource implements CertificateSource {
  readonly id: string;
  readonly #bundle: string;
  readonly #path: string;
  readonly #reader = new ThreadedReader();
  /** Paths of the files that were handed on last, by their names. */
  #known: ReadonlyMap<string, string> = new Map();

  constructor({ id, path }: TrustBundleOptions) {
    this.id = path;
    this.#bundle = id;
    this.#path = resolve(path);
  }

  get watch() {
    return [{ directory: this.#path, recursive: true }];
  }

  async load({ thorough }: { readonly thorough: boolean }): Promise<SourceMaterial> {
    let snapshot = await this.#read(thorough);
    if (this.#lost(snapshot) || snapshot.dangling.size > 0) {
      await delay(absenceDelay);
      snapshot = await this.#read(thorough);
    }
    const findings = this.#faults(snapshot);
    const { watch } = snapshot;
    if (findings.length > 0) return { identities: [], bundles: [], findings, watch };
    this.#known = new Map([...snapshot.files].map(([name, content]) => [name, this.#visible(name, content)]));
    const files = [...snapshot.files].map(([name, { bytes }]) => ({ path: this.#known.get(name) ?? name, bytes }));
    return { identities: [], bundles: [{ id: this.#bundle, source: this.id, files }], findings, watch };
  }

  #read(thorough: boolean): Promise<Snapshot> {
    return this.#reader.read({ path: this.#path, extensions, thorough });
  }

  /** Whether files that were handed on are not found any more. */
  #lost({ files, faults }: Snapshot): boolean {
    return [...this.#known.keys()].some((name) => !files.has(name) && !faults.has(name));
  }

  #faults(snapshot: Snapshot): Finding[] {
    const found = (code: Finding['code'], file: string, message?: string) =>
      finding(code, 'error', { file, identity: this.#bundle, ...(message === undefined ? {} : { message }) });
    if (!snapshot.exists) return [found('SOURCE_MISSING', this.#path, `${this.#path} does not exist`)];
    const findings = [...snapshot.faults.values()].map(({ code, path, message }) => found(code, path, message));
    for (const name of snapshot.dangling) {
      // Elsewhere it is as good as no file; here it would take something out of the bundle.
      const path = resolve(this.#path, name);
      findings.push(found('LINK_DANGLING', path, `${path} leads to nothing`));
    }
    if (findings.length > 0 || snapshot.files.size > 0) return findings;
    return [found('SOURCE_EMPTY', this.#path, `${this.#path} holds no file ending in ${[...extensions].join(' ')}`)];
  }

  /** Where an operator sees a file: not below `..data`, whose target changes its name with every update. */
  #visible(name: string, { path }: FileContent): string {
    return path === this.#path ? path : resolve(this.#path, name);
  }
}
