import type { TLSSocket } from 'node:tls';
import type { Connection } from '../../connections/index.ts';
import { lendReads, unlendReads } from '../../tls/index.ts';
import { Sweep } from '../../upstream/index.ts';
import type { RequestHandler } from '../handler.ts';
import type { Http1, Http1Options } from '../http1.ts';
import type { LineContext } from './line-context.ts';
import { PlainLine } from './plain-line.ts';

const lineOf = Symbol('line');
type LineSocket = TLSSocket & { [lineOf]?: PlainLine };

// One of each for all connections.
function onData(this: LineSocket, chunk: Buffer): void {
  this[lineOf]?.read(chunk);
}
function onEnd(this: LineSocket): void {
  this[lineOf]?.gone();
}
function onClose(this: LineSocket): void {
  this[lineOf]?.closed();
}
function onDrain(this: LineSocket): void {
  this[lineOf]?.drained();
}

/** Speaks HTTP/1.1 where it is plain, which is nearly always, and hands everything else to who knows the hard cases. */
export class PlainHttp1 {
  readonly #context: LineContext;

  constructor(handler: RequestHandler, ordinary: Http1, options: Http1Options) {
    const { headersTimeout, idleTimeout, maxHeaderSize } = options;
    this.#context = {
      handler,
      headersTimeout,
      idleTimeout,
      maxHeaderSize,
      lines: new Sweep(Math.min(headersTimeout, idleTimeout)),
      // As `node:http` says it.
      keepAlive: `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(idleTimeout / 1000)}\r\n`,
      handOver: ({ connection, socket }, first) => {
        this.#letGo(socket);
        socket.pause();
        socket.unshift(first);
        ordinary.serve(connection, socket);
        socket.resume();
      },
    };
  }

  /** Takes over a connection. */
  serve(connection: Connection, socket: TLSSocket): void {
    const line = new PlainLine(connection, socket, this.#context);
    connection.protocol = 'http/1.1';
    connection.handler = line;
    (socket as LineSocket)[lineOf] = line;
    this.#context.lines.add(line);
    lendReads(socket, onData);
    socket.on('data', onData);
    socket.on('end', onEnd);
    socket.on('close', onClose);
    socket.on('drain', onDrain);
  }

  #letGo(socket: TLSSocket): void {
    const line = (socket as LineSocket)[lineOf];
    if (line) this.#context.lines.delete(line);
    delete (socket as LineSocket)[lineOf];
    unlendReads(socket);
    socket.off('data', onData);
    socket.off('end', onEnd);
    socket.off('close', onClose);
    socket.off('drain', onDrain);
  }
}
