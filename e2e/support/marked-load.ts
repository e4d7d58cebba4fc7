import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import { bodyFor } from '../../test/support/load/bodies.ts';
import { answerOf, type Door, fingerprintOn, Http2Client, KeepAlive } from './clients.ts';

/** A connection by what both of its ends see of it. */
interface Mark {
  /** The client's port; null when no connection came about. */
  port: number | null;
  /** Monotonic milliseconds of when it was asked for. */
  readonly beganAt: number;
}

/** A request, or a handshake, that got no whole answer. */
export interface Loss extends Mark {
  readonly kind: string;
  readonly reason: string;
  /** Monotonic milliseconds. */
  readonly at: number;
}

/** A worker that was killed, and the connections it had then, by the client's port. */
export interface Strike {
  readonly at: number;
  readonly pid: number;
  readonly ports: ReadonlySet<number>;
}

const host = '127.0.0.1';
const name = 'localhost';

/**
 * Kills a worker with SIGKILL. It is stopped for the millisecond before, so that what it has accepted is known exactly.
 * @param port that it accepts on
 */
export function strike(pid: number, port: number): Strike {
  process.kill(pid, 'SIGSTOP');
  const isStopped = () => /^State:\s+[TZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  while (!isStopped());
  const inodes = new Map<string, number>();
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
    const [, local = '', remote = '', , , , , , , inode = ''] = line.trim().split(/\s+/);
    if (portOf(local) === port) inodes.set(`socket:[${inode}]`, portOf(remote));
  }
  const ports = new Set<number>();
  for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
    const client = inodes.get(readlinkSync(`/proc/${pid}/fd/${descriptor}`));
    if (client) ports.add(client);
  }
  const at = performance.now();
  process.kill(pid, 'SIGKILL');
  return { at, pid, ports };
}

/** @param address as in /proc/net/tcp, `0100007F:1F90` */
function portOf(address: string): number {
  return Number.parseInt(address.split(':')[1] ?? '0', 16);
}

/** Clients that never try again and remember on which connection each request was, so that a loss can be laid at somebody's door. */
export class MarkedLoad {
  readonly losses: Loss[] = [];
  /** Whole and correct answers. */
  answered = 0;
  /** Connections on which at least one request was made. */
  connections = 0;
  readonly #door: Door;
  readonly #stopping = new AbortController();
  readonly #open = new Set<TLSSocket>();
  #clients: Promise<unknown>[] = [];
  #paths = 0;

  constructor(t: Pick<TestContext, 'after'>, door: Door) {
    this.#door = door;
    t.after(() => this.stop());
  }

  start({ keepAlive = 6, http2 = 3, streams = 3, freshPerSecond = 20, thinkMs = 40 } = {}): void {
    const times = (count: number, client: () => Promise<unknown>) => Array.from({ length: count }, client);
    this.#clients = [
      ...times(keepAlive, () => this.#keepAlive(thinkMs)),
      ...times(http2, () => this.#http2(streams, thinkMs)),
      this.#fresh(1000 / freshPerSecond),
    ];
  }

  /** Lets every request that is on its way end. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#clients);
    for (const socket of this.#open) socket.destroy();
  }

  /** The certificate that a new connection is shown: SHA-256 in lower-case hex; null when it was lost. */
  async shown(): Promise<string | null> {
    const opened = await this.#connect('handshake', 'http/1.1');
    if (!opened) return null;
    const shown = fingerprintOn(opened.socket);
    opened.socket.destroy();
    return shown;
  }

  get #stopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #pause(ms: number): Promise<void> {
    await pause(ms, null, { signal: this.#stopping.signal }).catch(() => {});
  }

  #path(kind: string): string {
    this.#paths += 1;
    return `/${kind}/${this.#paths}`;
  }

  #lose(kind: string, mark: Mark, error: unknown): void {
    this.losses.push({ kind, ...mark, at: performance.now(), reason: String(error) });
  }

  #check(path: string, { status, body }: { status: number; body: string }): void {
    if (status !== 200 || body !== bodyFor(path)) throw new Error(`${status} ${body.slice(0, 200)}`);
    this.answered += 1;
  }

  async #connect(kind: string, protocol: string): Promise<{ readonly socket: TLSSocket; readonly mark: Mark } | null> {
    const mark: Mark = { port: null, beganAt: performance.now() };
    const { port, ca } = this.#door;
    const trust = ca === undefined ? {} : { ca };
    const socket = connect({ host, port, servername: name, ALPNProtocols: [protocol], ...trust });
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    socket.once('connect', () => {
      mark.port = socket.localPort ?? null;
    });
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('secureConnect', resolve).on('error', reject);
        socket.once('close', () => reject(new Error('closed during the handshake')));
      });
      return { socket, mark };
    } catch (error) {
      this.#lose(kind, mark, error);
      return null;
    }
  }

  async #keepAlive(thinkMs: number): Promise<void> {
    await this.#pause(Math.random() * thinkMs);
    while (!this.#stopped) {
      const opened = await this.#connect('keep-alive handshake', 'http/1.1');
      if (!opened) continue;
      this.connections += 1;
      const client = new KeepAlive(opened.socket, name);
      let isLast = false;
      while (!isLast && !this.#stopped && !opened.socket.closed) {
        isLast = await this.#get('keep-alive', client, opened.mark);
        await this.#pause(thinkMs);
      }
      client.destroy();
    }
  }

  /** @returns whether it was the last one on its connection */
  async #get(kind: string, client: KeepAlive, mark: Mark): Promise<boolean> {
    const path = this.#path(kind);
    try {
      const { lastOne, ...answer } = await client.get(path);
      this.#check(path, answer);
      return lastOne;
    } catch (error) {
      this.#lose(kind, mark, error);
      return true;
    }
  }

  async #fresh(everyMs: number): Promise<void> {
    const open = new Set<Promise<void>>();
    while (!this.#stopped) {
      const one = this.#freshOne().finally(() => open.delete(one));
      open.add(one);
      await this.#pause(everyMs);
    }
    await Promise.all(open);
  }

  async #freshOne(): Promise<void> {
    const opened = await this.#connect('fresh handshake', 'http/1.1');
    if (!opened) return;
    this.connections += 1;
    const client = new KeepAlive(opened.socket, name);
    await this.#get('fresh', client, opened.mark);
    client.destroy();
  }

  async #http2(streams: number, thinkMs: number): Promise<void> {
    while (!this.#stopped) {
      const opened = await this.#connect('http2 handshake', 'h2');
      if (!opened) continue;
      this.connections += 1;
      const session = connectHttp2(`https://${name}`, { createConnection: () => opened.socket });
      const client = new Http2Client(session, name);
      // Of a worker that is killed it is an error.
      client.closed.catch(() => {});
      const ask = async () => {
        await this.#pause(Math.random() * thinkMs);
        while (!this.#stopped && !session.closed && !session.destroyed) {
          await this.#stream(client, opened.mark);
          await this.#pause(thinkMs);
        }
      };
      await Promise.all(Array.from({ length: streams }, ask));
      session.close();
    }
  }

  async #stream(client: Http2Client, mark: Mark): Promise<void> {
    const path = this.#path('http2');
    const stream = client.ask(path);
    try {
      this.#check(path, await answerOf(stream));
    } catch (error) {
      // RFC 9113 §8.7: what was certainly not processed is no loss.
      const refused = stream.rstCode === 7 || (stream.id ?? 0) > (client.goaways.at(-1) ?? Number.POSITIVE_INFINITY);
      if (stream.id !== undefined && !refused) this.#lose('http2', mark, error);
    }
  }
}

/** The losses that no kill accounts for: their connection was not one of a worker that was killed while it was open. */
export function unaccounted(losses: readonly Loss[], strikes: readonly Strike[]): Loss[] {
  const isOf = ({ port, beganAt, at }: Loss, struck: Strike) =>
    port !== null && struck.ports.has(port) && beganAt <= struck.at && struck.at <= at;
  return losses.filter((loss) => !strikes.some((struck) => isOf(loss, struck)));
}

/** The connections on which more was lost than can be in flight on one, by the client's port. @param streams of an HTTP/2 connection */
export function overcharged(losses: readonly Loss[], streams: number): number[] {
  const byConnection = Map.groupBy(losses, ({ port, beganAt }) => `${port} ${beganAt}`);
  const isTooMuch = (lost: readonly Loss[]) => lost.length > (lost[0]?.kind === 'http2' ? streams : 1);
  return [...byConnection.values()].filter(isTooMuch).map(([loss]) => loss?.port ?? 0);
}
