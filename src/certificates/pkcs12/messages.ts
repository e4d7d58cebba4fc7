import type { KeystoreCode } from './fault.ts';

/** What the decoding thread is asked. */
export interface OpenMessage {
  readonly call: number;
  readonly bytes: Uint8Array;
  /** Null when none is given. */
  readonly passphrase: string | null;
}

/** What is wrong, as a predicate of which the keystore is the subject (`is cut short`). */
export interface FaultMessage {
  readonly code: KeystoreCode;
  readonly message: string;
}

/** A private key of a keystore with its certificates, or why it cannot be used. */
export type OpenedKey = { readonly alias: string | null } & (
  | { readonly certificatePem: string /** PKCS#8, not encrypted. */; readonly keyPem: string }
  | { readonly fault: FaultMessage }
);

/** What a keystore holds, at least one key, or why it cannot be used. */
export type Opened = { readonly keys: readonly OpenedKey[] } | { readonly fault: FaultMessage };

/** What the decoding thread answers. */
export interface OpenedMessage {
  readonly call: number;
  readonly opened: Opened;
}
