import type { FileContent } from '../../files/index.ts';
import { withoutKeys } from '../pem.ts';
import { Secret } from '../secret.ts';
import type { IdentityMaterial } from '../types.ts';

/** The files of an identity, as they were read. */
export interface MaterialFiles {
  readonly id: string;
  readonly source: string;
  readonly certificates: readonly FileContent[];
  readonly key: FileContent;
  readonly passphrase?: FileContent;
}

/** An identity in files; their text is made when it is asked for, and not kept: of thousands, few are ever looked at again. */
export class FileMaterial implements IdentityMaterial {
  readonly id: string;
  readonly source: string;
  readonly files: IdentityMaterial['files'];
  readonly passphrase?: Secret;
  readonly digest: string;
  readonly #certificates: readonly FileContent[];
  readonly #key: FileContent;

  constructor({ id, source, certificates, key, passphrase }: MaterialFiles) {
    this.id = id;
    this.source = source;
    this.files = { certificate: certificates[0]?.path ?? key.path, key: key.path };
    if (passphrase) this.passphrase = passphraseOf(passphrase);
    const contents = new Set([...certificates, key, ...(passphrase ? [passphrase] : [])]);
    this.digest = [...contents].map(({ path, digest }) => `${path} ${digest}`).join(' ');
    this.#certificates = certificates;
    this.#key = key;
  }

  get certificatePem(): string {
    return this.#certificates.map(certificatesOf).join('\n');
  }

  get keyPem(): Secret {
    return new Secret(this.#key.bytes.toString('latin1'));
  }
}

/** The text of a certificate file, without a key that it may hold too. */
export function certificatesOf(content: FileContent): string {
  return withoutKeys(content.bytes.toString('latin1'));
}

/** The first line of a passphrase file: editors and `echo` end it with a line feed that is not part of it. */
export function passphraseOf(content: FileContent): Secret {
  return new Secret(content.bytes.toString('utf8').split(/\r?\n/, 1)[0] ?? '');
}
