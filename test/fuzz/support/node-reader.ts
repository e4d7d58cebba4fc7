import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** A message as Node's parser read it. */
export interface NodeMessage {
  /** Method and target, or the status. */
  readonly start: string;
  /** Names and values in turn, each character one octet. */
  readonly fields: readonly string[];
  readonly body: string;
  /** All of it was there, and well-formed. */
  readonly complete: boolean;
}

const largest = 256 * 1024;

/** A connection in memory. What is written to it goes nowhere. */
class Line extends Duplex {
  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    done();
  }

  override _destroy(_error: Error | null, done: (error?: Error | null) => void): void {
    // Whose fault it was is told by the messages.
    done();
  }
}

type Reading = { start: string; fields: string[]; parts: Buffer[]; message: IncomingMessage };

/** Reads octets with the parser of `node:http`, as strictly as Swivel has it read. */
export class NodeReader {
  readonly #server: Server;
  readonly #found = new Map<unknown, Reading[]>();

  constructor() {
    this.#server = createServer({
      maxHeaderSize: largest,
      requireHostHeader: false,
      insecureHTTPParser: false,
      keepAliveTimeout: 0,
    });
    this.#server.maxHeadersCount = 0;
    this.#server.on('request', (message, response) => {
      this.#take(message);
      response.end();
    });
    this.#server.on('checkContinue', (message, response) => response.end(this.#take(message)));
    this.#server.on('checkExpectation', (message, response) => response.end(this.#take(message)));
    this.#server.on('upgrade', (message) => this.#take(message));
    this.#server.on('connect', (message) => this.#take(message));
    this.#server.on('clientError', () => {});
  }

  /** The requests that Node finds, in order; the last one may be incomplete. */
  async requests(bytes: Buffer): Promise<NodeMessage[]> {
    const line = new Line();
    const found: Reading[] = [];
    this.#found.set(line, found);
    this.#server.emit('connection', line);
    line.push(bytes);
    for (let turn = 0; turn < 3; turn += 1) await nextTurn();
    line.destroy();
    this.#found.delete(line);
    return found.map(toMessage);
  }

  #take(message: IncomingMessage): void {
    this.#found.get(message.socket)?.push(reading(message, `${message.method} ${message.url}`));
  }
}

/**
 * Reads one response as the client of `node:http` does, the connection ending behind it.
 * @param method of the request
 * @returns the final response; null when there is none that Node understands
 */
export async function nodeResponse(method: string, bytes: Buffer): Promise<NodeMessage | null> {
  const line = new Line();
  const client = request({ method, path: '/', maxHeaderSize: largest, createConnection: () => line });
  let found: Reading | null = null;
  client.on('response', (message) => {
    found = reading(message, String(message.statusCode));
  });
  client.on('upgrade', () => {});
  client.on('error', () => {});
  client.end();
  await nextTurn();
  line.push(bytes);
  for (let turn = 0; turn < 2; turn += 1) await nextTurn();
  line.push(null);
  for (let turn = 0; turn < 2; turn += 1) await nextTurn();
  client.destroy();
  return found && toMessage(found);
}

function reading(message: IncomingMessage, start: string): Reading {
  const parts: Buffer[] = [];
  message.on('data', (part: Buffer) => parts.push(part));
  message.on('error', () => {});
  return { start, fields: message.rawHeaders, parts, message };
}

function toMessage({ start, fields, parts, message }: Reading): NodeMessage {
  return { start, fields, body: Buffer.concat(parts).toString('latin1'), complete: message.complete };
}
