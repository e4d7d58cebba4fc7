import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import { connect } from './connect.ts';
import type { UpstreamOptions } from './options.ts';
import type { Selectable } from './selection.ts';

/** One address of an upstream, with its pool of keep-alive connections. */
export class Target implements Selectable {
  readonly url: URL;
  readonly #pool: Pool;
  readonly #options: UpstreamOptions;
  readonly #closing = new AbortController();
  #reachable = true;
  #retryAt = 0;

  constructor(url: URL, options: UpstreamOptions) {
    this.url = url;
    this.#options = options;
    this.#pool = new Pool(url.origin, {
      pipelining: 1,
      headersTimeout: options.responseTimeout,
      bodyTimeout: options.idleTimeout,
      connect: (_options, done) => {
        this.connect().then(
          (socket) => done(null, socket),
          (error: Error) => done(error, null),
        );
      },
      maxHeaderSize: 64 * 1024,
    });
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

  /** Sends a request over the pool. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#pool.dispatch(options, handler);
  }

  /** Opens a connection; nobody else uses it. */
  connect(): Promise<Socket> {
    return connect(this.url, this.#options.connectTimeout, this.#closing.signal);
  }

  close(): Promise<void> {
    this.#closing.abort();
    return this.#pool.destroy();
  }
}

/** The connection that carries a request. */
export interface ConnectionUsed {
  socket: Socket | null;
  /** Whether it had carried a response before. */
  reused: boolean;
}

let sending: ConnectionUsed | null = null;
// Undici tells a handler that its request starts, then which socket it goes to, in one synchronous stretch. Other users of
// undici, `fetch` among them, publish on this channel too; nothing was noted for those.
subscribe('undici:client:sendHeaders', (message) => {
  const { socket } = message as { socket: Socket };
  if (sending) Object.assign(sending, { socket, reused: socket.bytesRead > 0 });
  sending = null;
});

/** Call as a request starts: right afterwards `used` tells about its connection. */
export function noteConnection(used: ConnectionUsed): void {
  sending = used;
}
