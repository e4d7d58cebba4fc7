import type { ErrorCode } from '../../errors.ts';

/** What can be wrong with a keystore or with one key in it. */
export type KeystoreCode = Extract<
  ErrorCode,
  'KEYSTORE_UNREADABLE' | 'KEYSTORE_EMPTY' | 'KEY_PASSPHRASE_WRONG' | 'KEY_PASSPHRASE_MISSING' | 'CERT_MISSING'
>;

/** Why a keystore gives nothing: a code, and a predicate of which the keystore is the subject (`is cut short`). */
export class KeystoreFault extends Error {
  readonly code: KeystoreCode;

  constructor(code: KeystoreCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** KEYSTORE_UNREADABLE, said of the keystore: `is cut short`. */
export function unreadable(message: string): KeystoreFault {
  return new KeystoreFault('KEYSTORE_UNREADABLE', message);
}
