import { constants, type ServerHttp2Session } from 'node:http2';
import type { ProtocolHandler } from '../connections/index.ts';

/** Says that the connection will end, and that streams on their way are still welcome (RFC 9113 §6.8). */
const lastPossibleStream = 2 ** 31 - 1;

/**
 * Ends an HTTP/2 connection in two steps, so that no stream is lost: GOAWAY for every possible stream, a round trip, GOAWAY with
 * the last real one.
 *
 *   open ─ ask ─▶ asked ─ next stream ─▶ announced ─ PING answered ─▶ closing
 *     └──── ask, with a stream open ─────────▲
 *
 * A session of Node stops reading once it has sent a GOAWAY while no stream is open: neither the answer to the PING nor streams on
 * their way would ever arrive. So the first GOAWAY waits for a stream, and that stream is kept from ending until the answer is here.
 */
export class Http2Drain implements ProtocolHandler {
  readonly #session: ServerHttp2Session;
  #state: 'open' | 'asked' | 'announced' | 'closing' = 'open';
  #streams = 0;
  #held: (() => void)[] = [];

  constructor(session: ServerHttp2Session) {
    this.#session = session;
    session.once('close', () => this.#release());
  }

  ask(): void {
    if (this.#state !== 'open') return;
    this.#state = 'asked';
    if (this.#streams > 0) this.#announce();
  }

  close(): void {
    this.#state = 'closing';
    this.#release();
    // Streams on their way are refused; a client may send those again elsewhere (RFC 9113 §8.7).
    if (!this.#session.destroyed) this.#session.close();
  }

  /** A stream was opened. */
  opened(): void {
    this.#streams += 1;
    if (this.#state === 'asked') this.#announce();
  }

  /** A stream is over. */
  ended(): void {
    this.#streams -= 1;
    // Reset by the client while the answer was on its way: it will not be read any more.
    if (this.#streams === 0 && this.#state === 'announced') this.close();
  }

  /** Whether responses may not end yet. */
  get holds(): boolean {
    return this.#state === 'announced';
  }

  /** Ends a response: now, or when the answer to the PING is here. */
  end(finish: () => void): void {
    if (this.#state === 'announced') this.#held.push(finish);
    else finish();
  }

  #announce(): void {
    this.#state = 'announced';
    if (this.#session.destroyed || this.#session.closed) return;
    this.#session.goaway(constants.NGHTTP2_NO_ERROR, lastPossibleStream);
    const sent = this.#session.ping(() => this.close());
    if (!sent) this.close();
  }

  #release(): void {
    if (this.#state === 'announced') this.#state = 'closing';
    for (const finish of this.#held.splice(0)) finish();
  }
}
