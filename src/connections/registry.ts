import type { Socket } from 'node:net';
import type { Logger, TrafficMetrics } from '../observe/index.ts';
import { rest } from '../pace.ts';
import { type CertificateTag, Connection } from './connection.ts';
import { type DrainOptions, type DrainPlan, drainStep, earliest, planCut, planRetirement, planStop } from './policy.ts';

/** Open connections by certificate id. */
export type ConnectionCounts = Record<string, { current: number; draining: number }>;

export interface ConnectionSummary {
  readonly open: number;
  readonly draining: number;
  readonly byCertificate: ConnectionCounts;
}

export interface StopResult {
  /** Connections that had to be cut: at the deadline, or because it was given up. */
  readonly cut: number;
}

/** Milliseconds between two looks at the draining connections; no look is taken while none drains. */
const tick = 100;

const current = { state: 'current' };
const draining = { state: 'draining' };

/** Owns every client connection, handshaking and upgraded ones included, and drains those that are to end. */
export class ConnectionRegistry {
  readonly #options: DrainOptions;
  readonly #metrics: TrafficMetrics;
  readonly #logger: Logger;
  readonly #random: () => number;
  readonly #connections = new Map<Socket, Connection>();
  readonly #draining = new Set<Connection>();
  #timer: NodeJS.Timeout | null = null;
  #nextId = 1;
  #stopping = false;
  #leaving = false;
  #whenEmpty: (() => void)[] = [];
  #cut = 0;

  constructor(options: DrainOptions, metrics: TrafficMetrics, logger: Logger, random: () => number = Math.random) {
    this.#options = options;
    this.#metrics = metrics;
    this.#logger = logger;
    this.#random = random;
    this.#gauge();
  }

  /** Takes over a socket that was accepted. */
  add(socket: Socket): Connection {
    const now = performance.now();
    const connection = new Connection(this.#nextId++, socket, now);
    this.#connections.set(socket, connection);
    this.#metrics.connections.inc();
    this.#gauge();
    socket.once('close', () => this.#gone(connection));
    if (this.#stopping) this.#drain(connection, planStop(now, this.#options, this.#random()));
    else if (this.#leaving) this.#drain(connection, planRetirement(now, this.#options, this.#random()));
    return connection;
  }

  get(socket: Socket): Connection | undefined {
    return this.#connections.get(socket);
  }

  get size(): number {
    return this.#connections.size;
  }

  /** Notes the certificate that a connection was given. */
  tag(connection: Connection, certificate: CertificateTag): void {
    connection.certificate = certificate;
  }

  /**
   * Drains the connections on certificates that are no longer served, and no others.
   * @returns how many, by fingerprint
   */
  retire(fingerprints: ReadonlySet<string>): Map<string, number> {
    const counts = new Map<string, number>();
    if (fingerprints.size === 0) return counts;
    const now = performance.now();
    for (const connection of this.#connections.values()) {
      const fingerprint = connection.certificate?.fingerprint;
      if (fingerprint === undefined || connection.draining || !fingerprints.has(fingerprint)) continue;
      this.#drain(connection, planRetirement(now, this.#options, this.#random()));
      counts.set(fingerprint, (counts.get(fingerprint) ?? 0) + 1);
    }
    return counts;
  }

  /**
   * Cuts the connections on some certificates, over half a second: their clients come back at once, and not all in the same moment.
   * @returns how many
   */
  cut(fingerprints: ReadonlySet<string>): number {
    const now = performance.now();
    let count = 0;
    for (const connection of this.#connections.values()) {
      if (!fingerprints.has(connection.certificate?.fingerprint ?? '')) continue;
      this.#drain(connection, planCut(now, this.#random()));
      count += 1;
    }
    return count;
  }

  /**
   * Ends connections whose client is no longer trusted. In slices, for a certificate takes a fraction of a millisecond to verify and there
   * may be thousands; each request is judged by itself meanwhile.
   * @param isTrusted asked for each connection that showed a client certificate which counted for something
   * @param how drained like those on a retired certificate, or cut
   * @returns how many
   */
  async retireClients(isTrusted: (connection: Connection) => boolean, how: 'drain' | 'cut'): Promise<number> {
    let count = 0;
    for (const connection of [...this.#connections.values()]) {
      await rest();
      const { socket, reliedOn } = connection;
      if (socket.destroyed || reliedOn.size === 0 || isTrusted(connection)) continue;
      const now = performance.now();
      const plan = how === 'cut' ? planCut(now, this.#random()) : planRetirement(now, this.#options, this.#random());
      // One that was upgraded gets no more time than any other.
      this.#drain(connection, { ...plan, cutUpgradedAt: plan.cutAt });
      count += 1;
    }
    return count;
  }

  /** Drains one connection, because its certificate was retired while it was being made. */
  retireOne(connection: Connection): void {
    const now = performance.now();
    // Retired in the middle of its handshake, when it could not be asked: now it can.
    if (connection.draining) this.#step(connection, now);
    else this.#drain(connection, planRetirement(now, this.#options, this.#random()));
  }

  /**
   * Drains everything as if every certificate had been retired, and resolves when no connection is left: others have taken over, so
   * there is no hurry. Call after the listeners were closed.
   */
  async leave(): Promise<void> {
    this.#leaving = true;
    for (const connection of this.#connections.values()) {
      this.#drain(connection, planRetirement(performance.now(), this.#options, this.#random()));
    }
    await this.#untilEmpty();
  }

  /** Drains everything and resolves when no connection is left. Call after the listeners were closed. */
  async stop(): Promise<StopResult> {
    this.#stopping = true;
    const cutBefore = this.#cut;
    const now = performance.now();
    for (const connection of this.#connections.values()) {
      // An earlier drain keeps its own way of asking; its deadline is drawn in.
      this.#drain(connection, planStop(now, this.#options, this.#random()));
    }
    await this.#untilEmpty();
    return { cut: this.#cut - cutBefore };
  }

  /** Cuts everything at once. */
  destroyAll(): void {
    for (const connection of [...this.#connections.values()]) this.#cutNow(connection);
  }

  async #untilEmpty(): Promise<void> {
    if (this.#connections.size > 0) await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
  }

  summary(): ConnectionSummary {
    const byCertificate: ConnectionCounts = {};
    for (const connection of this.#connections.values()) {
      const id = connection.certificate?.id;
      if (id === undefined) continue;
      byCertificate[id] ??= { current: 0, draining: 0 };
      byCertificate[id][connection.draining ? 'draining' : 'current'] += 1;
    }
    return { open: this.#connections.size, draining: this.#draining.size, byCertificate };
  }

  #drain(connection: Connection, plan: DrainPlan): void {
    connection.plan = connection.plan ? earliest(connection.plan, plan) : plan;
    this.#draining.add(connection);
    this.#gauge();
    this.#step(connection, performance.now());
    this.#timer ??= setInterval(() => this.#tick(), tick);
  }

  #tick(): void {
    const now = performance.now();
    for (const connection of this.#draining) this.#step(connection, now);
    this.#stopTimer();
  }

  #step(connection: Connection, now: number): void {
    if (!connection.plan) return;
    switch (drainStep(connection.plan, connection, now)) {
      case 'ask':
        connection.asked = true;
        connection.handler?.ask();
        break;
      case 'close':
        if (connection.handler) connection.handler.close();
        else connection.destroy();
        // Should the client not answer the close, the next step cuts.
        if (now >= connection.plan.cutAt) connection.plan = { ...connection.plan, cutAt: now + tick };
        connection.idleSince = null;
        break;
      case 'cut':
        this.#cutNow(connection);
        break;
      default:
    }
  }

  #cutNow(connection: Connection): void {
    connection.cut = true;
    this.#cut += 1;
    connection.destroy();
  }

  #gone(connection: Connection): void {
    this.#connections.delete(connection.socket);
    if (this.#draining.delete(connection)) {
      this.#metrics.connectionsDrained.inc({ how: connection.cut ? 'deadline' : 'graceful' });
      if (connection.cut)
        this.#logger.debug({ connection: connection.id, certificate: connection.certificate?.id }, 'connection cut');
    }
    this.#gauge();
    this.#stopTimer();
    if (this.#connections.size > 0) return;
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  #gauge(): void {
    this.#metrics.connectionsOpen.set(current, this.#connections.size - this.#draining.size);
    this.#metrics.connectionsOpen.set(draining, this.#draining.size);
  }

  #stopTimer(): void {
    if (!this.#timer || this.#draining.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
