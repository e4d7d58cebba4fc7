import { hash } from 'node:crypto';
import {
  type CertificateSource,
  defaultValidation,
  type IdentityMaterial,
  type LoadOptions,
  type SourceMaterial,
  type TicketKeyMaterial,
  type TrustBundle,
  type ValidationPolicy,
  validate,
  validateBundle,
} from '../certificates/index.ts';
import { type Finding, finding, messageOf } from '../errors.ts';
import { FileFault, LayeredMap, type WatchTarget } from '../files/index.ts';
import { rest, within } from '../pace.ts';
import type { Candidate } from './types.ts';

/** What one source holds now. */
export interface SourceState {
  readonly source: string;
  /** By the id within the source. */
  readonly candidates: ReadonlyMap<string, Candidate>;
  /** What is wrong with the source as a whole; then its candidates are unknown, not gone. */
  readonly failure: Finding | null;
  readonly watch: readonly WatchTarget[];
  /** What is worth knowing about the source as a whole. */
  readonly warnings: readonly Finding[];
  /** Trust bundles, by name. */
  readonly bundles: ReadonlyMap<string, BundleCandidate>;
  /** What it holds; null when that cannot be used, or it gives none. */
  readonly ticketKeys: TicketKeyMaterial | null;
  /** When the source wants to be asked again, milliseconds since 1970. */
  readonly askAgainAt: number | null;
  /** When it last answered, RFC 3339. */
  readonly answeredAt: string | null;
}

/** What there is under the name of a trust bundle: one that can be used, or the reasons why not. */
export interface BundleCandidate {
  readonly id: string;
  readonly source: string;
  readonly bundle: TrustBundle | null;
  readonly findings: readonly Finding[];
}

interface Validated {
  readonly digest: string;
  /** What came of it. */
  readonly candidate: Candidate;
}

/** A reading that is wanted. */
interface Wanted extends PromiseWithResolvers<SourceState> {
  thorough: boolean;
  /** Paths of which something was heard; null: anything may have changed. */
  stirred: Set<string> | null;
  /** When it was wanted first, monotonic milliseconds. */
  since: number;
}

/** Loads one source and validates what changed. A source that hangs holds up nobody but itself. */
export class SourceReader {
  readonly source: CertificateSource;
  readonly #timeout: number;
  readonly #answered: (reader: SourceReader) => void;
  #validated = new Map<string, Validated>();
  /** The identities of the last answer, when nothing else was told. */
  #plain: readonly IdentityMaterial[] | null = null;
  readonly #policy: ValidationPolicy;
  #hanging = false;
  #reading = false;
  #closed = false;
  #wanted: Wanted | null = null;
  #state: SourceState;

  /**
   * @param timeout milliseconds after which a load counts as failed
   * @param answered called when a load that counted as failed has answered after all
   * @param policy what is done about what does not keep a certificate from working
   */
  constructor(
    source: CertificateSource,
    timeout: number,
    answered: (reader: SourceReader) => void = () => {},
    policy: ValidationPolicy = defaultValidation,
  ) {
    this.source = source;
    this.#policy = policy;
    this.#timeout = timeout;
    this.#answered = answered;
    this.#state = {
      source: source.id,
      candidates: new Map(),
      failure: null,
      watch: source.watch,
      warnings: [],
      bundles: new Map(),
      ticketKeys: null,
      askAgainAt: null,
      answeredAt: null,
    };
  }

  /** The result of the last reading. */
  get state(): SourceState {
    return this.#state;
  }

  /**
   * Reads the source; calls during a reading cause exactly one more. Never throws: a failure is part of the state.
   * @param stirred paths of which something was heard, where nothing else is asked for
   * @param since the first sign that there is something to read, monotonic milliseconds
   * @returns the state after a reading that began after the call
   */
  read(
    thorough: boolean,
    stirred: Iterable<string> | null = null,
    since: number = performance.now(),
  ): Promise<SourceState> {
    this.#wanted ??= { ...Promise.withResolvers<SourceState>(), thorough, stirred: new Set(), since };
    this.#wanted.since = Math.min(this.#wanted.since, since);
    this.#wanted.thorough ||= thorough;
    if (stirred === null) this.#wanted.stirred = null;
    else for (const path of stirred) this.#wanted.stirred?.add(path);
    const { promise } = this.#wanted;
    if (!this.#reading) void this.#readWhileWanted();
    return promise;
  }

  /** The source is not read any more, and ends what it runs. */
  close(): void {
    this.#closed = true;
    this.source.close?.();
  }

  async #readWhileWanted(): Promise<void> {
    this.#reading = true;
    // What is asked for in this turn of the event loop is one reading.
    await Promise.resolve();
    while (this.#wanted) {
      const { thorough, stirred, since, resolve } = this.#wanted;
      this.#wanted = null;
      // One that still hangs is neither asked again nor waited for: others would have to wait with it.
      if (!this.#hanging && !this.#closed)
        await this.#readOnce({ thorough, ...(stirred ? { stirred: [...stirred] } : {}) }, since);
      resolve(this.#state);
    }
    this.#reading = false;
  }

  async #readOnce(options: LoadOptions, since: number): Promise<void> {
    const loading = this.#load(options, since);
    const state = await within(this.#timeout, loading, { ref: false });
    if (!state) this.#waitFor(loading);
    this.#state =
      state ?? this.#failed('SOURCE_TIMEOUT', `${this.source.id} did not answer within ${this.#timeout} ms`);
  }

  #waitFor(loading: Promise<unknown>): void {
    this.#hanging = true;
    void loading.then(() => {
      this.#hanging = false;
      this.#answered(this);
    });
  }

  async #load(options: LoadOptions, askedAt: number): Promise<SourceState> {
    try {
      const material = await this.source.load(options);
      await rest();
      const bundles = this.#bundlesOf(material);
      const candidates =
        this.#amended(material, askedAt) ?? (await this.#validateAll(material, bundles !== null, askedAt));
      this.#plain = material.findings.length === 0 ? material.identities : null;
      const failure = material.findings.find((one) => one.identity === undefined && one.severity === 'error') ?? null;
      const known = failure ? this.#state.candidates : candidates;
      return {
        source: this.source.id,
        candidates: known,
        failure,
        watch: material.watch,
        warnings: material.findings.filter((one) => one.identity === undefined && one.severity === 'warning'),
        bundles: bundles ?? this.#state.bundles,
        ticketKeys: material.ticketKeys ?? null,
        askAgainAt: material.askAgainAt ?? null,
        answeredAt: new Date().toISOString(),
      };
    } catch (error) {
      if (error instanceof FileFault) return this.#failed(error.code, error.message, error.path);
      return this.#failed('SOURCE_UNREADABLE', `${this.source.id} cannot be read: ${messageOf(error)}`);
    }
  }

  /** The candidates as they were, but for the few whose material changed; null when that is not known. */
  #amended({ since, findings }: SourceMaterial, askedAt: number): ReadonlyMap<string, Candidate> | null {
    if (!since || since.identities !== this.#plain || findings.length > 0 || this.#state.failure) return null;
    const { candidates } = this.#state;
    if (since.changed.size === 0) return candidates;
    const changes = new Map<string, Candidate | null>();
    for (const [id, identity] of since.changed) {
      changes.set(id, identity && this.#validate(identity, this.#validated, askedAt));
      if (!identity) this.#validated.delete(id);
    }
    return LayeredMap.over(candidates, changes);
  }

  async #validateAll(
    material: SourceMaterial,
    isTrust: boolean,
    askedAt: number,
  ): Promise<ReadonlyMap<string, Candidate>> {
    const candidates = new Map<string, Candidate>();
    for (const one of material.findings) {
      if (one.identity !== undefined && !isTrust) addFinding(candidates, this.source.id, one.identity, one);
    }
    const seen = new Map<string, Validated>();
    for (const identity of material.identities) {
      const candidate = this.#validate(identity, seen, askedAt);
      const known = candidates.get(identity.id)?.findings;
      candidates.set(identity.id, known ? { ...candidate, findings: [...known, ...candidate.findings] } : candidate);
      // Thousands that are new take seconds, in which others want to be heard.
      await rest();
    }
    this.#validated = seen;
    return candidates;
  }

  /** The trust bundles of a source that has them; null for one of identities. */
  #bundlesOf({ bundles, findings }: SourceMaterial): Map<string, BundleCandidate> | null {
    if (!bundles) return null;
    const found = new Map<string, BundleCandidate>();
    for (const one of findings) {
      const id = one.identity ?? this.source.id;
      found.set(id, { id, source: this.source.id, bundle: null, findings: [...(found.get(id)?.findings ?? []), one] });
    }
    for (const material of bundles) {
      const before = found.get(material.id)?.findings ?? [];
      const { bundle, findings: own } = validateBundle(material);
      found.set(material.id, { id: material.id, source: this.source.id, bundle, findings: [...before, ...own] });
    }
    return found;
  }

  #validate(identity: IdentityMaterial, seen: Map<string, Validated>, askedAt: number): Candidate {
    const { id } = identity;
    const digest = digestOf(identity);
    const before = this.#validated.get(id);
    const same = before?.digest === digest ? before : null;
    const validated = same ?? {
      digest,
      candidate: { ...validate(identity, this.#policy), id, source: this.source.id, askedAt },
    };
    seen.set(id, validated);
    return validated.candidate;
  }

  #failed(code: Finding['code'], message: string, file = this.source.id): SourceState {
    return { ...this.#state, failure: finding(code, 'error', { message, file }) };
  }
}

function addFinding(candidates: Map<string, Candidate>, source: string, id: string, one: Finding): void {
  const before = candidates.get(id);
  candidates.set(id, { id, source, identity: null, findings: [...(before?.findings ?? []), one] });
}

function digestOf(identity: IdentityMaterial): string {
  if (identity.digest !== undefined) return identity.digest;
  const { certificate, key } = identity.files;
  const secrets = [identity.keyPem.reveal(), identity.passphrase?.reveal() ?? ''];
  return hash(
    'sha256',
    [identity.certificatePem, ...secrets, certificate, key, identity.names?.join() ?? ''].join('\0'),
  );
}
