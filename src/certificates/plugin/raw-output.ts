import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { PluginLog } from './text.ts';

/** Characters of a line that are kept. */
const longestLine = 16 * 1024;
/** Milliseconds between two reads: 64 KiB each, some 6 MB a second, which cost next to nothing. */
const pause = 10;
/** What Node prints about a process that it cannot save: a page of addresses. */
const deathNote = /^(?:<--- Last few GCs|# Fatal |FATAL ERROR: |----- Native stack trace)/;

/**
 * Reads what a process writes to standard output or standard error past JavaScript: native code, programs that it starts, Node when it
 * dies. The lines go to a log, none of a PEM block among them, however the block is cut by the pipe.
 */
export class RawOutput {
  readonly #stream: Readable;
  readonly #log: PluginLog;
  readonly #decoder = new StringDecoder('utf8');
  #pending = '';
  #pem = false;
  #dying = false;
  #outOfMemory = false;
  #timer: NodeJS.Timeout | null = null;
  #hurried = false;

  constructor(stream: Readable, log: PluginLog) {
    this.#stream = stream;
    this.#log = log;
    stream.on('data', (chunk: Buffer) => {
      this.#take(this.#decoder.write(chunk));
      if (!this.#hurried) this.#rest();
    });
    stream.on('end', () => this.#take('\n'));
    stream.on('error', () => {});
  }

  /** Whether Node said that there was no memory left for JavaScript. */
  get outOfMemory(): boolean {
    return this.#outOfMemory;
  }

  /** Reads on without pauses: the process is gone, so what is left is little. */
  hurry(): void {
    this.#hurried = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#stream.resume();
  }

  #rest(): void {
    this.#stream.pause();
    this.#timer = setTimeout(() => this.#stream.resume(), pause).unref();
  }

  #take(text: string): void {
    const lines = (this.#pending + text).split('\n');
    this.#pending = (lines.pop() ?? '').slice(0, longestLine);
    for (const line of lines) this.#line(line.slice(0, longestLine));
  }

  #line(line: string): void {
    if (deathNote.test(line)) this.#dying = true;
    if (this.#dying) {
      if (/JavaScript heap out of memory|invalid size error/.test(line)) this.#outOfMemory = true;
      return;
    }
    const inside = this.#pem;
    const begin = line.lastIndexOf('-----BEGIN');
    const end = line.lastIndexOf('-----END');
    if (begin !== end) this.#pem = begin > end;
    if (!inside) this.#log.line(line);
  }
}
