import { basename, dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Finding, finding } from '../../errors.ts';
import type { WatchTarget } from '../../files/index.ts';
import type { CheckedAnswer, CheckedIdentity } from '../plugin/answer.ts';
import { PluginHost } from '../plugin/host.ts';
import { PluginFailure } from '../plugin/messages.ts';
import { Secret } from '../secret.ts';
import type { CertificateSource, IdentityMaterial, SourceMaterial } from '../types.ts';

export interface PluginSourceOptions {
  /** Path of a module whose default export is a `PluginFactory`. */
  readonly module: string;
  /** Passed on to the factory: plain data. */
  readonly options?: unknown;
  /** Overrides the names of the certificates, and what the plug-in says of them. */
  readonly names?: readonly string[];
  /** Milliseconds after which a plug-in that does not answer is ended; 10 s by default. */
  readonly timeout?: number;
  /** MiB of JavaScript heap that the plug-in may use; 256 by default. */
  readonly memory?: number;
  /** Takes what the plug-in logs and prints: single lines of at most 300 characters, at most a hundred from one load to the next. */
  readonly log?: (line: string) => void;
}

/**
 * A module of the operator, run in a process of its own. A failure of the plug-in is a finding without an identity: PLUGIN_FAILED,
 * PLUGIN_INVALID or SOURCE_TIMEOUT. The module file is not watched.
 */
export class PluginSource implements CertificateSource {
  readonly id: string;
  readonly #path: string;
  readonly #names: readonly string[] | undefined;
  readonly #host: PluginHost;
  #watch: readonly WatchTarget[] = [];

  constructor({ module, options, names, timeout = 10_000, memory = 256, log = () => {} }: PluginSourceOptions) {
    this.id = module;
    this.#path = resolve(module);
    this.#names = names;
    this.#host = new PluginHost({
      name: basename(module),
      module: pathToFileURL(this.#path).href,
      options,
      timeout,
      memory,
      log,
    });
  }

  /** What the plug-in named last; nothing before it has answered. */
  get watch(): readonly WatchTarget[] {
    return this.#watch;
  }

  async load(): Promise<SourceMaterial> {
    try {
      return this.#material(await this.#host.load());
    } catch (error) {
      if (!(error instanceof PluginFailure)) throw error;
      const message = `${this.id}: ${error.message}`;
      const failure = finding(error.code, 'error', { message, file: this.#path });
      const { remedy } = error.code === 'SOURCE_TIMEOUT' ? finding('PLUGIN_FAILED', 'error') : failure;
      return { identities: [], findings: [{ ...failure, remedy }], watch: this.#watch };
    }
  }

  /** Ends the process, after the plug-in has closed its source or a second. */
  close(): void {
    this.#host.close();
  }

  #material({ identities, flaws, askAgainAt, watch }: CheckedAnswer): SourceMaterial {
    this.#watch = [...new Set(watch)].map((directory) => ({
      directory: resolve(dirname(this.#path), directory),
      recursive: false,
    }));
    const findings: Finding[] = flaws.map(({ identity, message }) =>
      identity === undefined
        ? finding('PLUGIN_INVALID', 'warning', { message: `${this.id}: ${message}`, file: this.#path })
        : finding('PLUGIN_INVALID', 'error', { message: `${this.id}: ${message}`, file: this.#path, identity }),
    );
    if (identities.length === 0 && !findings.some(({ severity }) => severity === 'error')) {
      const empty = finding('SOURCE_EMPTY', 'error', { message: `${this.id} gave no identity`, file: this.#path });
      findings.push({ ...empty, remedy: 'return at least one identity from load()' });
    }
    return {
      identities: identities.map((one) => this.#identity(one)),
      ...(askAgainAt === undefined ? {} : { askAgainAt }),
      findings,
      watch: this.#watch,
    };
  }

  #identity({ id, certificatePem, keyPem, passphrase, names }: CheckedIdentity): IdentityMaterial {
    const place = `${this.#path}#${id}`;
    const served = this.#names ?? names;
    return {
      id,
      source: this.id,
      files: { certificate: place, key: place },
      certificatePem,
      keyPem: new Secret(keyPem),
      ...(passphrase === undefined ? {} : { passphrase: new Secret(passphrase) }),
      ...(served === undefined ? {} : { names: served }),
    };
  }
}
