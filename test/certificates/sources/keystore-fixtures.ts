import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { damagedPart, makeKeystore, partsOf, sealParts } from '../../support/keystores.ts';
import type { Contents } from './conformance.ts';

/** A keystore and the passphrase beside it: null when there is none. */
export interface KeystoreFiles {
  readonly keystore: Buffer;
  readonly passphrase: string | null;
}

const made = new Map<string, Promise<KeystoreFiles>>();

/**
 * Puts on disk as a keystore what the shared tests have as PEM. Contents that are broken become a keystore that is broken in the
 * same way; where that means damage to a file, it is done to the whole keystore that was there before.
 */
export class KeystoreWriter {
  #last: KeystoreFiles | null = null;

  async filesFor(contents: Contents): Promise<KeystoreFiles> {
    const broken = await this.#broken(contents);
    if (broken) return broken;
    this.#last = await whole(contents);
    return this.#last;
  }

  async #broken({ chainPem, keyPem }: Contents): Promise<KeystoreFiles | null> {
    if (!this.#last) return null;
    const { keystore, passphrase } = this.#last;
    const files = (bytes: Buffer) => ({ keystore: bytes, passphrase });
    const write = (pem: string, arg: string) => makeKeystore(pem, { passphrase: passphrase ?? '', args: [arg] });
    if (chainPem === '') return files(await write(keyPem, '-nocerts'));
    if (keyPem === '') return files(await write(chainPem, '-nokeys'));
    if (!chainPem.includes('-----')) return files(Buffer.from(chainPem));
    if (keyPem.includes('ENCRYPTED')) return { keystore, passphrase: null };
    if (!isComplete(chainPem) || !isComplete(keyPem)) return files(keystore.subarray(0, keystore.length / 2));
    const certificate = attempt(() => new X509Certificate(chainPem));
    if (!certificate) return files(damagedPart(keystore, 0));
    const key = attempt(() => createPrivateKey(keyPem));
    if (!key) return files(damagedPart(keystore, 1));
    if (certificate.checkPrivateKey(key)) return null;
    // openssl refuses to put a certificate and the key of another into one keystore.
    const certificates = partsOf(keystore).slice(0, 1);
    return files(sealParts([...certificates, ...partsOf(await write(keyPem, '-nocerts'))], passphrase));
  }
}

/** A whole keystore, always the same for the same contents, under a passphrase of its own. */
function whole({ chainPem, keyPem }: Contents): Promise<KeystoreFiles> {
  const pem = keyPem + chainPem;
  const passphrase = `correct horse ${createHash('sha256').update(pem).digest('hex').slice(0, 8)}`;
  const files =
    made.get(pem) ??
    makeKeystore(pem, { passphrase, args: ['-iter', '1'] }).then((keystore) => ({ keystore, passphrase }));
  made.set(pem, files);
  return files;
}

function isComplete(pem: string): boolean {
  return /-----END [A-Z ]+-----\s*$/.test(pem);
}

function attempt<T>(task: () => T): T | null {
  try {
    return task();
  } catch {
    return null;
  }
}
