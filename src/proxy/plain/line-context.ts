import type { Sweep } from '../../upstream/index.ts';
import type { RequestHandler } from '../handler.ts';
import type { PlainLine } from './plain-line.ts';

/** What all lines share. */
export interface LineContext {
  readonly handler: RequestHandler;
  /** Milliseconds a client may take to send the head of a request. */
  readonly headersTimeout: number;
  /** Milliseconds a connection may stay idle: between requests, or within one when it is the client's turn. */
  readonly idleTimeout: number;
  /** Octets the head of a request may have. */
  readonly maxHeaderSize: number;
  /** What an answer says of a connection that goes on: field lines. */
  readonly keepAlive: string;
  /** Takes a connection over for good. @param first what was received and not used */
  readonly handOver: (line: PlainLine, first: Buffer) => void;
  /** Those that are watched for slow clients. */
  readonly lines: Sweep<PlainLine>;
}
