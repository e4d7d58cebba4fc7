import type { ClientVerdict } from '../certificates/index.ts';
import type { ClientCertificate } from '../connections/index.ts';
import type { ErrorCode } from '../errors.ts';
import type { ReadFields, SentFields } from './headers.ts';

/** The head of a request, the same for every HTTP version. */
export interface RequestHead {
  readonly method: string;
  /** As received: origin-form, absolute-form or `*` (RFC 9112 §3.2). */
  readonly target: string;
  readonly version: '1.0' | '1.1' | '2.0';
  /** Field names and values in turn, as received, without pseudo-headers. */
  readonly headers: readonly string[];
  /** `:authority` of HTTP/2. */
  readonly authority?: string;
  /** A body follows, or may follow. */
  readonly hasBody: boolean;
  /** The protocol the client wants to switch to. */
  readonly upgrade?: string;
  /** What was made of these very fields before; the same object for each request of a connection that has the same `headers`. */
  readonly memo?: FieldMemo;
}

/** What was made of the fields of a request, for others that have the same. Filled by `decide` alone. */
export interface FieldMemo {
  read: ReadFields | null;
  sent: SentFields | null;
}

/** Who sent it, over which connection. */
export interface ClientFacts {
  readonly address: string;
  readonly certificate: { readonly id: string; readonly fingerprint256: string; readonly names: readonly string[] };
  /** Whether it may send a request to a host, and the certificate of its own that was verified for that. */
  readonly admit: (host: string) => Admitted | Refusal;
}

/** A verdict against a client certificate. */
export type Distrust = Extract<ClientVerdict, { ok: false }>;

/** A client that may go on: with the certificate that was verified, or without one. */
export interface Admitted {
  readonly kind: 'admit';
  readonly certificate: ClientCertificate | null;
}

/** A request that is not proxied: the answer to it. */
export interface Refusal {
  readonly kind: 'refuse';
  readonly status: number;
  readonly code: ErrorCode;
  /** Close the connection: what follows on it cannot be trusted. */
  readonly close: boolean;
  /** Why a client certificate was not accepted: for the operator, not for the client. */
  readonly client?: Distrust;
}

export function refuse(status: number, code: ErrorCode, close = false): Refusal {
  return { kind: 'refuse', status, code, close };
}
