/**
 * What the author of a plug-in source writes: a module whose default export is a {@link PluginFactory}.
 * `config/plugin-source.example.mjs` is a whole one.
 *
 * The module runs in a process of its own. A load that fails, throws, exits or takes too long ends that process; the next load
 * starts another with the module as it is then.
 */

/** An identity: a private key, its certificates, and perhaps the names it serves. */
export interface PluginIdentity {
  /** Tells it from the others of this source and stays the same when it is renewed. 1 to 200 characters, none of them a control character. */
  readonly id: string;
  /** Leaf first, then the intermediates. At most 1 MiB. */
  readonly certificatePem: string;
  /** At most 1 MiB. */
  readonly keyPem: string;
  /** Opens the key when it is encrypted. */
  readonly passphrase?: string;
  /** Overrides the names of the certificate. */
  readonly names?: readonly string[];
}

/** All that the source has now; what is not in it counts as removed. */
export interface PluginAnswer {
  /** At most 10,000, of 64 Mi characters altogether. */
  readonly identities: readonly PluginIdentity[];
  /**
   * When to call `load` next: a Date, milliseconds since 1970, or an ISO 8601 date. It is called on every resync (`watch.resync`)
   * and every reload too.
   */
  readonly askAgainAt?: Date | number | string;
  /** Directories to watch, without their sub-directories: a change in one calls `load`. Absolute, or relative to the module. At most 100. */
  readonly watch?: readonly string[];
}

export interface PluginLoadOptions {
  /** Aborted when Swivel stops, and shortly before the process is ended because the load takes too long. */
  readonly signal: AbortSignal;
}

/** What a factory makes. */
export interface PluginCertificates {
  /** Gives everything there is. One call at a time. */
  load(options: PluginLoadOptions): PluginAnswer | Promise<PluginAnswer>;
  /** Called once when Swivel stops or after a failed load; the process ends a second later at the latest. */
  close?(): void | Promise<void>;
}

export interface PluginContext {
  /** Writes the first line of a message, of at most 300 characters, to Swivel's log. Never give it a key. */
  log(message: string): void;
  /** Aborted when Swivel stops or the process is about to end. */
  readonly signal: AbortSignal;
}

/**
 * The default export of a plug-in module.
 * @param options what the configuration says under `options`, as it stands there
 */
export type PluginFactory = (
  options: unknown,
  context: PluginContext,
) => PluginCertificates | Promise<PluginCertificates>;
