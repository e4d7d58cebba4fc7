import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import { normalizeName, type ValidatedIdentity } from '../certificates/index.ts';
import { type Finding, finding, messageOf, SwivelError } from '../errors.ts';
import { buildNameIndex, lookUp, type NameIndex } from './names.ts';
import { createTicketKeys } from './ticket-keys.ts';

/** An identity with the TLS context that serves it. */
export interface ServedIdentity {
  readonly identity: ValidatedIdentity;
  readonly context: SecureContext;
  /** The generation it came in with. */
  readonly since: number;
  readonly activatedAt: Date;
}

/** Everything that is served, complete and unchangeable. Replaced whole, by one assignment. */
export interface Generation {
  readonly number: number;
  readonly served: ReadonlyMap<string, ServedIdentity>;
  readonly index: NameIndex<ServedIdentity>;
  /** Serves clients without a server name, and unknown names unless those are rejected. Null when nothing is served. */
  readonly fallback: ServedIdentity | null;
  /** Lower-case hex fingerprints of the chains that are served. */
  readonly fingerprints: ReadonlySet<string>;
  /** What is worth knowing about the set as a whole. */
  readonly findings: readonly Finding[];
}

/** A generation that was built and is not visible yet. Exactly one of `commit` and `abort` is called. */
export interface PreparedGeneration {
  readonly generation: Generation;
  /** Identities whose context the TLS library refused; the set does not hold them. */
  readonly failures: readonly Finding[];
  /** Makes it the current one, synchronously. @returns the fingerprints that are no longer served */
  commit(): ReadonlySet<string>;
  abort(): void;
}

export interface ContextStoreOptions {
  /** The id of the identity for clients without a known name; the first one, by id, when left out. */
  readonly defaultCertificate?: string;
  readonly unknownName: 'default' | 'reject';
}

const empty: Generation = {
  number: 0,
  served: new Map(),
  index: { exact: new Map(), wildcard: new Map(), shadowed: [] },
  fallback: null,
  fingerprints: new Set(),
  findings: [],
};

/** Milliseconds of building contexts after which the event loop gets a turn. */
const slice = 8;

/** Holds the current generation, and builds the next one beside it. */
export class ContextStore {
  readonly #options: ContextStoreOptions;
  readonly #listeners = new Set<(generation: Generation) => void>();
  readonly ticketKeys: Buffer = createTicketKeys();
  #current: Generation = empty;
  #preparing = false;

  constructor(options: ContextStoreOptions) {
    this.#options = options;
  }

  get current(): Generation {
    return this.#current;
  }

  /** Calls a listener within each commit. @returns how to end that */
  onCommit(listener: (generation: Generation) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Builds the next generation. Contexts of unchanged identities are reused. An identity whose context cannot be built keeps
   * the one it has, and is reported.
   * @param identities the complete set that is to be served
   * @param now milliseconds since 1970
   */
  async prepare(identities: readonly ValidatedIdentity[], now: number): Promise<PreparedGeneration> {
    if (this.#preparing) throw new SwivelError('INTERNAL', 'a generation is being prepared already');
    this.#preparing = true;
    try {
      const base = this.#current;
      const number = base.number + 1;
      const served = new Map<string, ServedIdentity>();
      const failures: Finding[] = [];
      let sliceEnd = performance.now() + slice;
      for (const identity of identities) {
        const known = base.served.get(identity.id);
        try {
          served.set(identity.id, reuse(known, identity) ?? build(identity, number, now));
        } catch (error) {
          failures.push(contextFailure(identity, error));
          if (known) served.set(identity.id, known);
        }
        if (performance.now() > sliceEnd) {
          await yieldToEvents();
          sliceEnd = performance.now() + slice;
        }
      }
      const generation = this.#assemble(number, served, now);
      return { generation, failures, commit: () => this.#commit(base, generation), abort: () => this.#end() };
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  /**
   * The identity for a server name, as a client sent it (RFC 6066 §3).
   * @returns undefined when the name is to be rejected
   */
  resolve(servername: string | false | undefined): ServedIdentity | undefined {
    const { index, fallback } = this.#current;
    if (!servername) return fallback ?? undefined;
    const known = lookUp(index, normalizeName(servername));
    if (known) return known;
    return this.#options.unknownName === 'reject' ? undefined : (fallback ?? undefined);
  }

  #assemble(number: number, served: Map<string, ServedIdentity>, now: number): Generation {
    const index = buildNameIndex(served.values(), now);
    const wanted = this.#options.defaultCertificate;
    const chosen = wanted === undefined ? undefined : served.get(wanted);
    const findings = [...index.shadowed];
    if (wanted !== undefined && !chosen) {
      const message = `the default certificate "${wanted}" does not exist; there are: ${[...served.keys()].join(', ')}`;
      findings.push(finding('DEFAULT_UNKNOWN', 'warning', { message }));
    }
    const first = [...served.keys()].sort()[0];
    return {
      number,
      served,
      index,
      fallback: chosen ?? (first === undefined ? null : (served.get(first) ?? null)),
      fingerprints: new Set([...served.values()].map(({ identity }) => identity.fingerprint)),
      findings,
    };
  }

  #commit(base: Generation, generation: Generation): ReadonlySet<string> {
    if (!this.#preparing || base !== this.#current) throw new SwivelError('INTERNAL', 'the generation is out of date');
    this.#end();
    this.#current = generation;
    for (const listener of this.#listeners) listener(generation);
    return base.fingerprints.difference(generation.fingerprints);
  }

  #end(): void {
    this.#preparing = false;
  }
}

function reuse(known: ServedIdentity | undefined, identity: ValidatedIdentity): ServedIdentity | undefined {
  if (known?.identity.fingerprint !== identity.fingerprint) return undefined;
  return known.identity === identity ? known : { ...known, identity };
}

/** What an identity gives to a TLS context; the listener's default context is made of the same. */
export function contextOptions(identity: ValidatedIdentity) {
  return { cert: identity.chainPem, key: identity.keyPem.reveal() };
}

function build(identity: ValidatedIdentity, since: number, now: number): ServedIdentity {
  return { identity, context: createSecureContext(contextOptions(identity)), since, activatedAt: new Date(now) };
}

function contextFailure(identity: ValidatedIdentity, error: unknown): Finding {
  return finding('CONTEXT_FAILED', 'error', {
    identity: identity.id,
    file: identity.files.certificate,
    message: `the TLS library refuses ${identity.files.certificate}: ${messageOf(error)}`,
  });
}
