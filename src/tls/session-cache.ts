import { createHash } from 'node:crypto';
import type { Server } from 'node:tls';

export interface SessionCacheOptions {
  /** Sessions at most. */
  readonly capacity: number;
  /** Milliseconds for which a session is kept. */
  readonly lifetime: number;
  /** A monotonic clock, in milliseconds. */
  readonly now?: () => number;
}

interface Entry {
  readonly key: string;
  readonly session: Buffer;
  readonly until: number;
  /** The one used last before it. */
  older: Entry | null;
  /** The one used first after it. */
  newer: Entry | null;
}

/**
 * Sessions of TLS 1.2 by their id (RFC 5246 §7.3), for clients that know no tickets. Within its bound the least recently used one goes
 * first. What it holds is secret, and comes out only to resume a session.
 */
export class SessionCache {
  readonly #capacity: number;
  readonly #lifetime: number;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();
  // A list of its own: the first key of a Map is found only past all that were deleted before it.
  #oldest: Entry | null = null;
  #newest: Entry | null = null;

  constructor({ capacity, lifetime, now = () => performance.now() }: SessionCacheOptions) {
    this.#capacity = capacity;
    this.#lifetime = lifetime;
    this.#now = now;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Keeps a session, if it is one of TLS 1.2.
   * @param session as OpenSSL serialises it
   */
  keep(id: Buffer, session: Buffer): void {
    if (this.#capacity === 0 || id.length === 0 || !isOfTls12(session)) return;
    const key = id.toString('latin1');
    const known = this.#entries.get(key);
    if (known) this.#drop(known);
    const now = this.#now();
    while (this.#oldest && (this.#entries.size >= this.#capacity || this.#oldest.until <= now)) {
      this.#drop(this.#oldest);
    }
    const entry = { key, session, until: now + this.#lifetime, older: null, newer: null };
    this.#entries.set(key, entry);
    this.#append(entry);
  }

  /** @returns the session with this id; null when there is none that may still be resumed */
  find(id: Buffer): Buffer | null {
    const entry = this.#entries.get(id.toString('latin1'));
    if (!entry) return null;
    if (entry.until <= this.#now()) {
      this.#drop(entry);
      return null;
    }
    this.#unlink(entry);
    this.#append(entry);
    return entry.session;
  }

  /** Forgets all of them. */
  forget(): void {
    this.#entries.clear();
    this.#oldest = null;
    this.#newest = null;
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.key);
    this.#unlink(entry);
  }

  #append(entry: Entry): void {
    entry.older = this.#newest;
    entry.newer = null;
    if (this.#newest) this.#newest.newer = entry;
    else this.#oldest = entry;
    this.#newest = entry;
  }

  #unlink({ older, newer }: Entry): void {
    if (older) older.newer = newer;
    else this.#oldest = newer;
    if (newer) newer.older = older;
    else this.#newest = older;
  }
}

/** Lets clients of a server resume their sessions from a cache. Every handshake costs more with it: each hello is read twice. */
export function resumeFrom(cache: SessionCache, server: Server): void {
  server.on('newSession', (id, session, done) => {
    cache.keep(id, session);
    done();
  });
  // TLS 1.3 clients send an id that means nothing (RFC 8446 §4.1.2).
  server.on('resumeSession', (id, done) => done(null, cache.find(id) ?? undefined));
}

/**
 * The context of the sessions that are made under ticket keys: OpenSSL resumes none of another. It keeps those out whose handshake began under
 * keys from before, and was not done yet when the cache was told to forget. Not secret.
 * @returns 32 octets, the most there may be
 */
export function sessionIdContext(ticketKeys: Buffer): string {
  return createHash('sha256').update('swivel session id context\0').update(ticketKeys).digest('hex').slice(0, 32);
}

/** `SEQUENCE { INTEGER 1, INTEGER version, … }`: what OpenSSL's `i2d_SSL_SESSION` gives. False for everything else. */
function isOfTls12(session: Buffer): boolean {
  const lengthOctets = session[1] ?? 0;
  const start = 2 + (lengthOctets > 0x80 ? lengthOctets - 0x80 : 0);
  return session[0] === 0x30 && session.subarray(start, start + tls12.length).equals(tls12);
}

/** INTEGER 1, INTEGER 0x0303. */
const tls12 = Buffer.from([0x02, 0x01, 0x01, 0x02, 0x02, 0x03, 0x03]);
