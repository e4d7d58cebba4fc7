import { join } from 'node:path';
import type { Leaf } from '../../test/support/pki.ts';
import type { Files } from '../../test/support/writers/index.ts';

/** A form in which a certificate lies on disk, and how the configuration names it. */
export interface SourceKind {
  readonly name: string;
  /** How many files one certificate has. */
  readonly files: number;
  /**
   * @param stem of the names of the files
   * @param passphrase opens the key; without it, the key is not encrypted where that is possible
   */
  filesOf(leaf: Leaf, stem: string, passphrase?: string): Files | Promise<Files>;
  /** The entry in the configuration. The id of the certificate is the stem. */
  entry(directory: string, stem: string, encrypted: boolean): object;
  /**
   * How it is had from certbot.
   * @param live the directory of links that certbot keeps
   * @param deployed another directory, for what has to be made of them
   */
  ofCertbot(live: string, deployed: string): FromCertbot;
}

export interface FromCertbot {
  /** The entry in the configuration. */
  readonly entry: object;
  /** The files that are read: when the last of them has changed, the renewal is complete. */
  readonly reads: readonly string[];
  /** A shell command for `--deploy-hook`, where certbot's own files are not what is read. */
  readonly hook?: string;
}

const keyOf = (leaf: Leaf, passphrase: string | undefined) =>
  passphrase === undefined ? leaf.keyPem : leaf.encryptedKeyPem(passphrase);

const passphraseFile = (stem: string, passphrase: string | undefined): Files =>
  passphrase === undefined ? {} : { [`${stem}.pass`]: `${passphrase}\n` };

const pair = (leaf: Leaf, stem: string, passphrase?: string): Files => ({
  [`${stem}.key`]: keyOf(leaf, passphrase),
  [`${stem}.crt`]: leaf.chainPem,
  ...passphraseFile(stem, passphrase),
});

const certbotPair = (live: string): [cert: string, key: string] => [
  join(live, 'fullchain.pem'),
  join(live, 'privkey.pem'),
];

const pemDirectory: SourceKind = {
  name: 'PEM directory',
  files: 2,
  filesOf: pair,
  entry: (directory) => ({ path: directory }),
  ofCertbot: (live) => ({ entry: { path: live }, reads: certbotPair(live) }),
};

const pemFiles: SourceKind = {
  name: 'PEM files',
  files: 2,
  filesOf: pair,
  entry: (directory, stem, encrypted) => ({
    cert: join(directory, `${stem}.crt`),
    key: join(directory, `${stem}.key`),
    ...(encrypted ? { passphraseFile: join(directory, `${stem}.pass`) } : {}),
  }),
  ofCertbot: (live) => {
    const [cert, key] = certbotPair(live);
    return { entry: { cert, key }, reads: [cert, key] };
  },
};

const combined: SourceKind = {
  name: 'combined PEM',
  files: 1,
  filesOf: (leaf, stem, passphrase) => ({
    [`${stem}.pem`]: keyOf(leaf, passphrase) + leaf.chainPem,
    ...passphraseFile(stem, passphrase),
  }),
  // Only below a directory does a passphrase stand beside it.
  entry: (directory, stem, encrypted) => ({ path: encrypted ? directory : join(directory, `${stem}.pem`) }),
  ofCertbot: (_live, deployed) => {
    const path = join(deployed, 'combined.pem');
    const hook = `cat "$RENEWED_LINEAGE/privkey.pem" "$RENEWED_LINEAGE/fullchain.pem" > ${path}`;
    return { entry: { path }, reads: [path], hook };
  },
};

/** Every kind that the configuration can name. */
export const sourceKinds: readonly SourceKind[] = [pemDirectory, pemFiles, combined];
