import type { ConnectionSummary, StopResult } from '../connections/index.ts';
import type { GenerationPublisher } from '../rotation/index.ts';
import type { ListenAddress } from '../tls/index.ts';
import type { Replacement } from './succession.ts';

/** One process that serves, as /status tells it. */
export interface WorkerStatus {
  readonly id: number;
  readonly pid: number;
  /** Null before the first one. */
  readonly generation: number | null;
  readonly state: 'starting' | 'serving' | 'leaving' | 'silent';
  readonly version: string;
  /** RFC 3339. */
  readonly startedAt: string;
}

/** Clients were shown a chain. @param refused whether they answered with an alert @param times how many; one when left out */
export type Observe = (id: string, fingerprint: string, refused: boolean, times?: number) => void;

/** Those who serve clients: this process, or workers. */
export interface Serving {
  readonly publisher: GenerationPublisher;
  /**
   * Serves what is published.
   * @returns the addresses with the ports that were given
   * @throws SwivelError LISTEN_FAILED, WORKERS_FAILED
   */
  open(): Promise<readonly ListenAddress[]>;
  summary(): Promise<ConnectionSummary>;
  workers(): readonly WorkerStatus[];
  /** Replaces the processes that serve without failing a request. @throws SwivelError NO_WORKERS, WORKERS_FAILED */
  restart(): Promise<readonly Replacement[]>;
  setLogLevel(level: string): void;
  /** A stop is about to come: processes are not replaced any more. */
  hold(): void;
  /** Stops gracefully. */
  stop(): Promise<StopResult>;
  /** Cuts what a graceful stop still waits for. */
  abandon(): void;
  /** Ends at once, where opening failed. Idempotent. */
  close(): Promise<void>;
}
