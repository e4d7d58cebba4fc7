import { execFile } from 'node:child_process';
import { chmod, mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ErrorCode } from '../../src/errors.ts';
import { writeAtomically } from '../../test/support/files.ts';
import type { Authority, Leaf } from '../../test/support/pki.ts';

/** The files of one identity, and what it takes to spoil them. */
export interface Victim {
  readonly authority: Authority;
  /** The one name that it serves. */
  readonly host: string;
  /** What is served. */
  readonly leaf: Leaf;
  /** `NAME.crt` */
  readonly cert: string;
  /** `NAME.key` */
  readonly key: string;
  /** `NAME.pass` */
  readonly pass: string;
}

/** A way in which the files of an identity can be wrong. */
export interface BadInput {
  readonly name: string;
  readonly code: ErrorCode;
  /** The file that is named as the one to look at. */
  readonly blames: 'cert' | 'key';
  spoil(victim: Victim): Promise<void>;
  /** Takes away what `spoil` put there and writing the two files again does not replace. */
  tidy?(victim: Victim): Promise<void>;
  /** Leaves nothing behind that could be found at start. */
  readonly gone?: boolean;
}

export const wrongPassphrase = 'not-the-passphrase-of-this-key';
export const rightPassphrase = 'correct-horse-battery-staple';

const junk = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 151 + 7) % 256));

async function reissue({ authority, host }: Victim, more: object = {}): Promise<Leaf> {
  return authority.issue({ names: [host], ...more });
}

/** Certificate and key, readable by everybody, each replaced by rename. */
export async function writeFiles({ cert, key }: Pick<Victim, 'cert' | 'key'>, leaf: Leaf): Promise<void> {
  await writeAtomically(key, leaf.keyPem, 0o644);
  await writeAtomically(cert, leaf.chainPem, 0o644);
}

/** Puts an identity into a directory. */
export async function createVictim(directory: string, name: string, authority: Authority): Promise<Victim> {
  const host = `${name}.test`;
  const leaf = await authority.issue({ names: [host] });
  const path = (extension: string) => join(directory, `${name}.${extension}`);
  const victim = { authority, host, leaf, cert: path('crt'), key: path('key'), pass: path('pass') };
  await writeFiles(victim, leaf);
  return victim;
}

const past = { notBefore: new Date(Date.now() - 7_200_000), notAfter: new Date(Date.now() - 3_600_000) };

export const badInputs: readonly BadInput[] = [
  {
    name: 'a key that may not be read',
    code: 'FILE_UNREADABLE',
    blames: 'key',
    spoil: ({ key }) => chmod(key, 0),
  },
  {
    name: 'a certificate that may not be read',
    code: 'FILE_UNREADABLE',
    blames: 'cert',
    spoil: ({ cert }) => chmod(cert, 0),
  },
  {
    name: 'a certificate that is cut short',
    code: 'CERT_UNPARSABLE',
    blames: 'cert',
    spoil: ({ cert, leaf }) => truncate(cert, Math.floor(leaf.certificatePem.length / 2)),
  },
  {
    name: 'a key that is cut short',
    code: 'KEY_UNPARSABLE',
    blames: 'key',
    spoil: ({ key, leaf }) => truncate(key, Math.floor(leaf.keyPem.length / 2)),
  },
  {
    name: 'a pair of which only the certificate was renewed',
    code: 'KEY_MISMATCH',
    blames: 'key',
    spoil: async (victim) => writeAtomically(victim.cert, (await reissue(victim)).chainPem, 0o644),
  },
  {
    name: 'the key of another certificate',
    code: 'KEY_MISMATCH',
    blames: 'key',
    spoil: async (victim) =>
      writeAtomically(victim.key, (await victim.authority.issue({ names: ['other.test'] })).keyPem, 0o644),
  },
  {
    name: 'an encrypted key with the wrong passphrase',
    code: 'KEY_PASSPHRASE_WRONG',
    blames: 'key',
    spoil: async ({ key, pass, leaf }) => {
      await writeAtomically(pass, `${wrongPassphrase}\n`, 0o644);
      await writeAtomically(key, leaf.encryptedKeyPem(rightPassphrase), 0o644);
    },
    tidy: ({ pass }) => rm(pass, { force: true }),
  },
  {
    name: 'an encrypted key without a passphrase',
    code: 'KEY_PASSPHRASE_MISSING',
    blames: 'key',
    spoil: ({ key, leaf }) => writeAtomically(key, leaf.encryptedKeyPem(rightPassphrase, 'traditional'), 0o644),
  },
  {
    name: 'an expired certificate',
    code: 'CERT_EXPIRED',
    blames: 'cert',
    spoil: async (victim) => writeFiles(victim, await reissue(victim, past)),
  },
  {
    name: 'a certificate for clients',
    code: 'CERT_WRONG_EKU',
    blames: 'cert',
    spoil: async (victim) => writeFiles(victim, await reissue(victim, { eku: ['clientAuth'] })),
  },
  {
    name: 'a weak key',
    code: 'KEY_WEAK',
    blames: 'cert',
    spoil: async (victim) => writeFiles(victim, await reissue(victim, { keyType: 'rsa-1024' })),
  },
  {
    name: 'a certificate in DER',
    code: 'CERT_NOT_PEM',
    blames: 'cert',
    spoil: ({ cert, leaf }) => writeAtomically(cert, leaf.x509.raw, 0o644),
  },
  {
    name: 'binary junk for a certificate',
    code: 'CERT_NOT_PEM',
    blames: 'cert',
    spoil: ({ cert }) => writeAtomically(cert, junk, 0o644),
  },
  {
    name: 'binary junk for a key',
    code: 'KEY_UNPARSABLE',
    blames: 'key',
    spoil: ({ key }) => writeFile(key, junk),
  },
  {
    name: 'an empty certificate',
    code: 'CERT_NOT_PEM',
    blames: 'cert',
    spoil: ({ cert }) => writeFile(cert, ''),
  },
  {
    name: 'an empty key',
    code: 'KEY_UNPARSABLE',
    blames: 'key',
    spoil: ({ key }) => writeAtomically(key, '', 0o644),
  },
  {
    name: 'a file of 100 MB',
    code: 'FILE_TOO_LARGE',
    blames: 'cert',
    spoil: ({ cert }) => truncate(cert, 100_000_000),
  },
  {
    name: 'a certificate that was deleted',
    code: 'CERT_MISSING',
    blames: 'key',
    spoil: ({ cert }) => rm(cert),
  },
  {
    name: 'a key that was deleted',
    code: 'KEY_MISSING',
    blames: 'cert',
    spoil: ({ key }) => rm(key),
  },
  {
    name: 'a certificate and a key that were deleted',
    code: 'FILE_MISSING',
    blames: 'cert',
    spoil: async ({ cert, key }) => {
      await rm(cert);
      await rm(key);
    },
    gone: true,
  },
  {
    name: 'a directory for a key',
    code: 'FILE_NOT_REGULAR',
    blames: 'key',
    spoil: async ({ key }) => {
      await rm(key);
      await mkdir(key);
    },
    tidy: ({ key }) => rm(key, { recursive: true, force: true }),
  },
  {
    name: 'a link that leads nowhere for a certificate',
    code: 'CERT_MISSING',
    blames: 'key',
    spoil: async ({ cert }) => {
      await rm(cert);
      await symlink('nowhere', cert);
    },
  },
  {
    name: 'a link to itself for a key',
    code: 'KEY_MISSING',
    blames: 'cert',
    spoil: async ({ key }) => {
      await rm(key);
      await symlink(key, key);
    },
  },
  {
    name: 'a named pipe for a key',
    code: 'FILE_NOT_REGULAR',
    blames: 'key',
    spoil: async ({ key }) => {
      await rm(key);
      await promisify(execFile)('mkfifo', ['-m', '0644', key]);
    },
  },
];
