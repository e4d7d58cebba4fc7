import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Leaf } from '../../test/support/pki.ts';
import type { Files } from '../../test/support/writers/index.ts';

const execute = promisify(execFile);

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

/** A keystore as `openssl pkcs12` makes it, and its passphrase, which is another one each time. */
const keystore = async (leaf: Leaf, stem: string, passphrase: string = randomUUID()): Promise<Files> => {
  const made = execute('openssl', ['pkcs12', '-export', '-passout', `pass:${passphrase}`], { encoding: 'buffer' });
  made.child.stdin?.end(leaf.keyPem + leaf.chainPem);
  return { [`${stem}.p12`]: (await made).stdout, ...passphraseFile(stem, passphrase) };
};

/** A keystore is made of what certbot left, and moved into its place. */
const keystoreHook = (path: string) => {
  const parts = '-inkey "$RENEWED_LINEAGE/privkey.pem" -in "$RENEWED_LINEAGE/fullchain.pem"';
  return `openssl pkcs12 -export ${parts} -passout pass: -out ${path}.new && mv ${path}.new ${path}`;
};

const pkcs12Directory: SourceKind = {
  name: 'PKCS#12 directory',
  files: 2,
  filesOf: keystore,
  entry: (directory) => ({ path: directory }),
  ofCertbot: (_live, deployed) => {
    const path = join(deployed, 'directory', 'site.p12');
    return {
      entry: { path: dirname(path) },
      reads: [path],
      hook: `mkdir -p ${dirname(path)} && ${keystoreHook(path)}`,
    };
  },
};

const pkcs12File: SourceKind = {
  name: 'PKCS#12 file',
  files: 2,
  filesOf: keystore,
  entry: (directory, stem) => ({
    pkcs12: join(directory, `${stem}.p12`),
    passphraseFile: join(directory, `${stem}.pass`),
  }),
  ofCertbot: (_live, deployed) => {
    const path = join(deployed, 'site.p12');
    return { entry: { pkcs12: path }, reads: [path], hook: keystoreHook(path) };
  },
};

/** Every kind that the configuration can name. */
export const sourceKinds: readonly SourceKind[] = [pemDirectory, pemFiles, combined, pkcs12Directory, pkcs12File];
