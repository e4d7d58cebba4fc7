import type { Socket } from 'node:net';
import { connect } from './connect.ts';
import type { UpstreamOptions } from './options.ts';
import type { Selectable } from './selection.ts';
import type { WireUser } from './wire.ts';
import { Wires } from './wires.ts';

/** One address of an upstream, with its keep-alive connections. */
export class Target implements Selectable {
  readonly url: URL;
  readonly #wires: Wires;
  readonly #options: UpstreamOptions;
  readonly #closing = new AbortController();
  #reachable = true;
  #retryAt = 0;

  constructor(url: URL, options: UpstreamOptions) {
    this.url = url;
    this.#options = options;
    this.#wires = new Wires(url, options);
  }

  /** Whether it accepted the last connection that was tried. */
  get reachable(): boolean {
    return this.#reachable;
  }

  /** Whether it should be asked: it is reachable, or was left alone for long enough. */
  get healthy(): boolean {
    return this.#reachable || performance.now() >= this.#retryAt;
  }

  /** Notes that it refused a connection. */
  failed(): void {
    this.#reachable = false;
    this.#retryAt = performance.now() + this.#options.failTimeout;
  }

  /** Notes that it accepted one. */
  reached(): void {
    this.#reachable = true;
  }

  /** Gives a user a connection, at once or when it is made. @param fresh one that carried nothing yet */
  take(user: WireUser, fresh = false): void {
    this.#wires.take(user, fresh);
  }

  /** Opens a connection; nobody else uses it. */
  connect(): Promise<Socket> {
    return connect(this.url, this.#options.connectTimeout, this.#closing.signal);
  }

  close(): void {
    this.#closing.abort();
    this.#wires.close();
  }
}
