import { createHash } from 'node:crypto';
import { type Finding, finding } from '../../errors.ts';
import type { FileContent } from '../../files/index.ts';
import { Secret } from '../secret.ts';
import type { IdentityMaterial } from '../types.ts';
import { aliasesOf } from './aliases.ts';
import { decodingThread } from './decoding-thread.ts';
import type { FaultMessage } from './messages.ts';

/** A keystore as a source found it. */
export interface Keystore {
  /** The id of its identity: path below the source, without the extension. */
  readonly id: string;
  /** The id of the source. */
  readonly source: string;
  readonly content: Pick<FileContent, 'path' | 'bytes' | 'digest'>;
  readonly passphrase?: Secret;
}

/** What keystores hold: identities that can be validated, and what is wrong with the rest. */
export interface KeystoreMaterial {
  readonly identities: readonly IdentityMaterial[];
  readonly findings: readonly Finding[];
}

type Key = { readonly alias: string | null } & (
  | { readonly certificatePem: string; readonly keyPem: Secret }
  | { readonly fault: FaultMessage }
);

interface Remembered {
  readonly opened: { readonly keys: readonly Key[] } | { readonly fault: FaultMessage };
  /** `performance.now()` after which it is tried again. */
  readonly until: number;
}

/** Milliseconds before a keystore that took too long is tried again: the machine may have been busy, or it may be meant so. */
const retryAfter = 5 * 60_000;

/**
 * Opens the keystores of one source, each once: what came of the same bytes and passphrase is remembered for as long as
 * the source holds them.
 */
export class KeystoreReader {
  readonly #timeout: number;
  #remembered = new Map<string, Remembered>();

  /** @param timeout milliseconds that opening one keystore may take */
  constructor(timeout = 5000) {
    this.#timeout = timeout;
  }

  /** Opens all keystores that the source holds now. Never rejects: what is wrong is a finding with file and identity. */
  async open(keystores: readonly Keystore[]): Promise<KeystoreMaterial> {
    const remembered = new Map<string, Remembered>();
    const materials = await Promise.all(
      keystores.map(async (keystore) => {
        const key = keyOf(keystore);
        const known = this.#remembered.get(key);
        const one = known && performance.now() < known.until ? known : await this.#decode(keystore);
        remembered.set(key, one);
        return materialOf(keystore, one);
      }),
    );
    this.#remembered = remembered;
    return {
      identities: materials.flatMap(({ identities }) => identities),
      findings: materials.flatMap(({ findings }) => findings),
    };
  }

  async #decode({ content, passphrase }: Keystore): Promise<Remembered> {
    const request = { bytes: content.bytes, passphrase, timeout: this.#timeout };
    const { opened, final } = await decodingThread.decode(request);
    const until = final ? Number.POSITIVE_INFINITY : performance.now() + retryAfter;
    if ('fault' in opened) return { opened, until };
    const keys = opened.keys.map((key) => ('fault' in key ? key : { ...key, keyPem: new Secret(key.keyPem) }));
    return { opened: { keys }, until };
  }
}

function keyOf({ content, passphrase }: Keystore): string {
  const given = passphrase === undefined ? 'none' : `given ${passphrase.reveal()}`;
  return createHash('sha256').update(`${content.digest} ${given}`).digest('hex');
}

function materialOf({ id, source, content }: Keystore, { opened }: Remembered): KeystoreMaterial {
  const identities: IdentityMaterial[] = [];
  const findings: Finding[] = [];
  const { path } = content;
  const found = ({ code, message }: FaultMessage, identity: string) =>
    findings.push(finding(code, 'error', { message: `${path} ${message}`, file: path, identity }));
  if ('fault' in opened) {
    found(opened.fault, id);
    return { identities, findings };
  }
  const aliases = aliasesOf(opened.keys.map(({ alias }) => alias));
  for (const [i, key] of opened.keys.entries()) {
    const own = opened.keys.length === 1 ? id : `${id}/${aliases[i]}`;
    if ('fault' in key) found(key.fault, own);
    else {
      const files = { certificate: path, key: path };
      identities.push({ id: own, source, files, certificatePem: key.certificatePem, keyPem: key.keyPem });
    }
  }
  return { identities, findings };
}
