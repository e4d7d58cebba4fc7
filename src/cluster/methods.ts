import type { ConnectionSummary, StopResult } from '../connections/index.ts';
import type { Finding } from '../errors.ts';
import type { Reading } from '../observe/index.ts';
import type { Refusal } from '../tls/index.ts';
import type { Change, Delivery } from './change.ts';
import type { Identity } from './privileges/index.ts';

/**
 * Changes when primary and worker of two versions would not understand each other: then a worker of a new version is not taken in by a
 * primary of the old one.
 */
export const protocol = 1;

/** What a worker is told first. */
export interface Beginning {
  readonly protocol: number;
  /** The user it is to run as from then on; null: as the primary does. */
  readonly user: Identity | null;
  /** Whether inspectors are welcome. */
  readonly inspect: boolean;
  readonly niceness: number;
}

/** What a worker says of itself. */
export interface Introduction {
  readonly protocol: number;
  readonly version: string;
}

/** How a worker is. */
export interface Vitals {
  /** Resident memory, bytes. */
  readonly memory: number;
  /** Seconds of CPU time since its start. */
  readonly cpu: number;
  /** Its counts, where there are no files to count in. */
  readonly counts: Reading | null;
}

/** How clients took to a certificate. */
export interface Observation {
  readonly id: string;
  readonly fingerprint: string;
  readonly handshakes: number;
  readonly refused: number;
}

/** What the primary may ask of a worker. */
export type WorkerMethods = {
  /** Gives up privileges; nothing secret is sent before this was answered. */
  begin(beginning: Beginning): Promise<Introduction>;
  configure(configuration: unknown): void;
  /** Identities of the change to come. */
  deliver(deliveries: readonly Delivery[]): void;
  /** Builds a generation, and gives up one that was built before. @returns identities that cannot be served */
  prepare(change: Change): Promise<readonly Finding[]>;
  /** Serves what was prepared. @returns how many connections drain, by fingerprint */
  commit(number: number): Promise<ReadonlyMap<string, number>>;
  abort(nothing: null): void;
  /** A listening socket comes along; they come in the order of the listeners. */
  socket(nothing: null, handle?: unknown): void;
  /** Accepts connections on the sockets that came. */
  listen(nothing: null): Promise<void>;
  confirm(ids: readonly string[]): Promise<readonly string[]>;
  cut(fingerprints: ReadonlySet<string>): Promise<number>;
  summary(nothing: null): ConnectionSummary;
  /** Intermediates of clients that another worker trusted, DER. */
  issuers(certificates: readonly Uint8Array[]): void;
  logLevel(level: string): void;
  /** Accepts nothing more. Answered when that is so. */
  stopAccepting(nothing: null): Promise<void>;
  /** Accepts nothing more, drains as for a retired certificate, and ends. */
  leave(nothing: null): Promise<void>;
  /** Accepts nothing more, drains as for a stop, and ends. */
  stop(nothing: null): Promise<StopResult>;
  /** Cuts what a drain still waits for. */
  abandon(nothing: null): void;
};

/** What a worker may ask of the primary. */
export type PrimaryMethods = {
  vitals(vitals: Vitals): void;
  observed(observations: readonly Observation[]): void;
  /** A certificate turned out to be of no use when a client wanted it. */
  refused(refusal: Refusal): void;
  /** Intermediates of a client that was trusted, DER. */
  learned(certificates: readonly Uint8Array[]): void;
  /** Answered after everything that others had told before was passed on. */
  settled(nothing: null): void;
  /** It was asked to end: another one should take its place first. */
  replaceMe(nothing: null): void;
};
