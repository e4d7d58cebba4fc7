import { createHash, hkdfSync, randomBytes } from 'node:crypto';
import { Secret, type TicketKeyMaterial, type TrustBundle } from '../certificates/index.ts';
import { coded, type Finding, finding } from '../errors.ts';

export interface TicketKeyOptions {
  /** Milliseconds after which keys that were made here are renewed; Infinity: never. */
  readonly lifetime: number;
}

/** What the source of ticket keys holds. */
export interface TicketKeyReading {
  /** What it holds; null when that cannot be used: then the last good one stays. */
  readonly material: TicketKeyMaterial | null;
  /** Why what is on disk cannot be used. */
  readonly failure: Finding | null;
}

/** Why other ticket keys are in effect: `trust` is a changed bundle, `made` the first ones of this process. */
type Cause = 'made' | 'schedule' | 'file' | 'trust' | 'compromise';

/** Other ticket keys are in effect, as the log tells it. */
export interface TicketKeyChange {
  readonly source: string;
  readonly id: string;
  readonly cause: Cause;
}

/** The ticket keys in effect, as /status tells them. Nothing of it is secret. */
export interface TicketKeyStatus {
  /** `made`: by this process, at random; else the path of the file. */
  readonly source: string;
  /** The same wherever sessions can be resumed; null before the first certificate is served. */
  readonly id: string | null;
  /** Since when these keys are in effect, RFC 3339. */
  readonly since: string | null;
  /** When they are renewed at the latest, RFC 3339; null when no schedule does it. */
  readonly renewAt: string | null;
  /** False when there is a file and the keys are not made from what it holds now. */
  readonly diskMatchesServed: boolean;
  readonly lastError: ReturnType<typeof coded> | null;
  readonly warnings: readonly ReturnType<typeof coded>[];
}

interface Base {
  /** The path of a file, or `made`. */
  readonly source: string;
  readonly key: Secret;
  /** Milliseconds since 1970. */
  readonly since: number;
}

/** What is mixed into the keys, so that nothing else can be made from the same secret by accident. */
const purpose = 'swivel session ticket keys v1';

/**
 * Makes session ticket keys from a secret (HKDF-SHA256, RFC 5869). Sessions hold the verdict on the client's certificate: another set of
 * bundles gives other keys. Pure.
 * @param bundles those in effect, with their names; their order does not matter
 * @param salt sets the keys apart from those of others who have the same secret
 * @returns 48 bytes, as `tls.Server` takes them
 */
export function deriveTicketKeys(
  key: Secret,
  bundles: Iterable<Pick<TrustBundle, 'id' | 'fingerprint'>>,
  salt: Secret | null = null,
): Buffer {
  const trust = [...bundles].map(({ id, fingerprint }) => JSON.stringify([id, fingerprint])).sort();
  // `info` is limited to 1024 bytes.
  const digest = createHash('sha256').update(trust.join('\n')).digest('hex');
  const secret = Buffer.from(key.reveal(), 'base64');
  const apart = Buffer.from(salt?.reveal() ?? '', 'base64');
  const derived = hkdfSync('sha256', secret, apart, `${purpose} ${digest}`, 48);
  secret.fill(0);
  return Buffer.from(derived);
}

/** A name for keys by which people can compare them, and that gives nothing of them away: 8 hex digits. */
export function ticketKeyId(keys: Buffer): string {
  return createHash('sha256').update('swivel session ticket key id\0').update(keys).digest('hex').slice(0, 8);
}

/** The secret that ticket keys are made from: made here and renewed on a schedule, or taken from a file. */
export class TicketKeys {
  readonly #lifetime: number;
  #base: Base = { source: 'made', key: randomSecret(), since: Number.POSITIVE_INFINITY };
  /** Set when these keys were in use with something compromised, by the key of the file. */
  readonly #salts = new Map<string, Secret>();
  #failure: Finding | null = null;
  #hasFile = false;
  #cause: Cause = 'made';
  #inEffect: { readonly keys: Buffer; readonly id: string; readonly since: number } | null = null;

  constructor({ lifetime }: TicketKeyOptions = { lifetime: Number.POSITIVE_INFINITY }) {
    this.#lifetime = lifetime;
  }

  /**
   * Takes what the file holds, or renews what is due.
   * @param reading null when no source gives ticket keys
   * @param now milliseconds since 1970
   */
  read(reading: TicketKeyReading | null, now: number): void {
    this.#hasFile = reading !== null;
    this.#failure = reading?.failure ?? null;
    const { source, key, since } = this.#base;
    if (reading?.material) {
      const { material } = reading;
      if (source === material.source && key.reveal() === material.key.reveal()) return;
      this.#base = { ...material, since: now };
      this.#cause = 'file';
    } else if (source === 'made') {
      // A clock that was set back must not keep old keys for longer.
      if (now < since) this.#base = { source, key, since: now };
      else if (now - since >= this.#lifetime) this.#renew('schedule', now);
    }
  }

  /** Something that was served is compromised: nobody may resume what was opened until now. @param now milliseconds since 1970 */
  compromise(now: number): void {
    this.#cause = 'compromise';
    if (this.#base.source === 'made') this.#renew('compromise', now);
    else this.#salts.set(digestOf(this.#base.key), randomSecret());
  }

  /** The keys for a set of trust bundles, 48 bytes. */
  keysFor(bundles: Iterable<TrustBundle>): Buffer {
    return deriveTicketKeys(this.#base.key, bundles, this.#salt);
  }

  /** Whether there is nothing to publish for the sake of these keys. */
  areInEffect(keys: Buffer): boolean {
    return this.#inEffect === null || this.#inEffect.keys.equals(keys);
  }

  /** These keys were published. @param now milliseconds since 1970 @returns what changed, if they are others than before */
  committed(keys: Buffer, now: number): TicketKeyChange | null {
    if (this.#inEffect?.keys.equals(keys)) return null;
    const { source } = this.#base;
    const id = ticketKeyId(keys);
    const change = { source, id, cause: this.#cause };
    this.#inEffect = { keys, id, since: now };
    this.#cause = 'trust';
    return change;
  }

  /** When keys are to be renewed, milliseconds since 1970; null when no schedule does it. */
  get renewAt(): number | null {
    const at = this.#base.source === 'made' ? this.#base.since + this.#lifetime : Number.POSITIVE_INFINITY;
    return Number.isFinite(at) ? at : null;
  }

  /** What is worth knowing, while it is. */
  get warnings(): readonly Finding[] {
    if (this.#salt === null) return [];
    const { source: file } = this.#base;
    const message = `the key of ${file} was in use with a compromised certificate; this process departs from it until the file changes`;
    return [finding('TICKET_KEYS_COMPROMISED', 'warning', { file, message })];
  }

  get status(): TicketKeyStatus {
    const { source } = this.#base;
    const instant = (at: number | null | undefined) => (at == null ? null : new Date(at).toISOString());
    const fromDisk = source !== 'made' && this.#failure === null && this.#salt === null;
    return {
      source,
      id: this.#inEffect?.id ?? null,
      since: instant(this.#inEffect?.since),
      renewAt: instant(this.renewAt),
      diskMatchesServed: fromDisk || !this.#hasFile,
      lastError: this.#failure ? coded(this.#failure) : null,
      warnings: this.warnings.map(coded),
    };
  }

  get #salt(): Secret | null {
    return this.#salts.size === 0 ? null : (this.#salts.get(digestOf(this.#base.key)) ?? null);
  }

  #renew(cause: Cause, now: number): void {
    this.#base = { source: 'made', key: randomSecret(), since: now };
    this.#cause = cause;
  }
}

function randomSecret(): Secret {
  return new Secret(randomBytes(48).toString('base64'));
}

function digestOf(key: Secret): string {
  return createHash('sha256').update(key.reveal()).digest('hex');
}
