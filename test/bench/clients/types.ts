import type { LoadTarget } from '../../support/load/types.ts';
import type { LoadFigures } from '../support/wrk.ts';

export interface WebSocketLoad {
  target: LoadTarget;
  connections: number;
  /** Of each message. */
  bytes: number;
}

export interface WebSocketReport extends Pick<LoadFigures, 'units' | 'seconds' | 'latency'> {
  failure: string | undefined;
}

export interface IdleLoad {
  target: LoadTarget;
  /** The one request that each connection makes. */
  path: string;
  bodyBytes: number;
  connections: number;
}

/** Full handshakes without a request, each for the next one of some names. */
export interface NamesLoad {
  target: LoadTarget;
  names: readonly string[];
  clients: number;
  /** Goes through the names again and again for so long; once when left out. */
  seconds?: number;
}

export interface NamesReport {
  units: number;
  seconds: number;
  failure: string | undefined;
}
