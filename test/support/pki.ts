import './reflect-metadata.ts';
import { randomBytes, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import { exportPrivateKey, generateKeys, type Hash, type KeyPair, type KeyType, signingKey } from './keys.ts';
import { type Issuer, sign, signatureAlgorithm } from './sign.ts';

export type { Hash, KeyPair, KeyType } from './keys.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const authorityUsages = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;

export interface AuthorityOptions {
  /** Common name; unique by default, so that two authorities are never taken for one another. */
  name?: string;
  keyType?: KeyType;
  hash?: Hash;
  notBefore?: Date;
  notAfter?: Date;
  /** The authority that signs this one; without it, a self-signed root. */
  parent?: Authority;
  /** Certify the key of this one again instead of a fresh one. */
  sameKeyAs?: { readonly keys: KeyPair };
  /** How many intermediates may stand below it. */
  pathLength?: number;
  /** Basic constraints say that it is none. */
  noCa?: boolean;
  /** Key usage; `null` leaves the extension out. Default: to sign certificates and revocation lists. */
  usages?: number | null;
  /** `serverAuth`, `clientAuth` or object identifiers; without it, no such extension. */
  eku?: readonly string[];
  /** Hexadecimal. */
  serial?: string;
  /** Beside those that every authority has. */
  extensions?: readonly x509.Extension[];
}

export interface LeafOptions {
  /** Subject alternative names: DNS names, wildcards and IP addresses. */
  names?: readonly string[];
  /** Defaults to the first name. */
  commonName?: string;
  keyType?: KeyType;
  /** Certify the key of this leaf again instead of a fresh one. */
  sameKeyAs?: { readonly keys: KeyPair };
  notBefore?: Date;
  notAfter?: Date;
  /** `serverAuth`, `clientAuth` or object identifiers; `null` leaves the extension out. Default: `serverAuth`. */
  eku?: readonly string[] | null;
  /** Names go into the common name only. */
  noSan?: boolean;
  /** Basic constraints say that the leaf is an authority. */
  ca?: boolean;
  hash?: Hash;
  /** Hexadecimal. */
  serial?: string;
  /** Key usage; `null` leaves the extension out. */
  usages?: number | null;
  /** URL of the issuer's certificate (Authority Information Access). */
  aiaCaIssuers?: string;
}

export interface CrlOptions {
  thisUpdate?: Date;
  nextUpdate?: Date;
  hash?: Hash;
  extensions?: x509.Extension[];
}

/** A certificate with its key, as a test writes it to disk or gives it to `node:tls`. */
export class Leaf {
  readonly certificatePem: string;
  /** Leaf first, then the intermediates; the root is left out. */
  readonly chainPem: string;
  readonly keys: KeyPair;
  readonly x509: X509Certificate;

  constructor(certificatePem: string, issuerChainPem: string, keys: KeyPair) {
    this.certificatePem = certificatePem;
    this.chainPem = certificatePem + issuerChainPem;
    this.keys = keys;
    this.x509 = new X509Certificate(certificatePem);
  }

  /** PKCS#8 PEM. */
  get keyPem(): string {
    return exportPrivateKey(this.keys, 'pkcs8');
  }

  /** SEC1 or PKCS#1 PEM (PKCS#8 for Ed25519, which has no other form). */
  get keyPemTraditional(): string {
    return exportPrivateKey(this.keys, 'traditional');
  }

  /** The key under a passphrase: `ENCRYPTED PRIVATE KEY`, or the older `Proc-Type: 4,ENCRYPTED`. */
  encryptedKeyPem(passphrase: string, format: 'pkcs8' | 'traditional' = 'pkcs8'): string {
    return exportPrivateKey(this.keys, format, passphrase);
  }

  /** SHA-256 of the leaf in lower-case hex without colons. */
  get fingerprint256(): string {
    return bareHex(this.x509.fingerprint256);
  }
}

/** A root or an intermediate that issues leaves, further intermediates and revocation lists. */
export class Authority {
  readonly name: string;
  readonly certificatePem: string;
  /** This authority and those above it, without the root; empty for a root. */
  readonly chainPem: string;
  readonly keys: KeyPair;

  constructor(name: string, certificatePem: string, chainPem: string, keys: KeyPair) {
    this.name = name;
    this.certificatePem = certificatePem;
    this.chainPem = chainPem;
    this.keys = keys;
  }

  get subject(): string {
    return `CN=${this.name}`;
  }

  get x509(): X509Certificate {
    return new X509Certificate(this.certificatePem);
  }

  /** A leaf of this authority: for `localhost`, ECDSA P-256, valid for 90 days unless told otherwise. */
  async issue(options: LeafOptions = {}): Promise<Leaf> {
    const keys = options.sameKeyAs?.keys ?? (await generateKeys(options.keyType ?? 'ec-p256'));
    return new Leaf(await signLeaf(options, keys, this), this.chainPem, keys);
  }

  /** Many leaves that share one key: a signature each is all they cost. */
  async issueMany(options: readonly LeafOptions[]): Promise<Leaf[]> {
    const keys = await generateKeys('ec-p256');
    const leaves: Leaf[] = [];
    for (const each of options) leaves.push(await this.issue({ ...each, sameKeyAs: { keys } }));
    return leaves;
  }

  /** An authority below this one. */
  intermediate(options: Omit<AuthorityOptions, 'parent'> = {}): Promise<Authority> {
    return createAuthority({ ...options, parent: this });
  }

  /** A revocation list, in PEM, that names `revoked`. */
  async crl(revoked: readonly { readonly x509: X509Certificate }[], options: CrlOptions = {}): Promise<string> {
    const hash = options.hash ?? 'SHA-256';
    const crl = await x509.X509CrlGenerator.create({
      issuer: this.subject,
      thisUpdate: options.thisUpdate ?? new Date(Date.now() - HOUR),
      nextUpdate: options.nextUpdate ?? new Date(Date.now() + DAY),
      entries: revoked.map((one) => ({ serialNumber: one.x509.serialNumber, revocationDate: new Date() })),
      extensions: options.extensions ?? [],
      signingAlgorithm: signatureAlgorithm(this.keys, hash),
      signingKey: signingKey(this.keys, hash) as CryptoKey,
    });
    // OpenSSL knows revocation lists by another label than the library's `CRL`.
    return `${crl.toString('pem').replaceAll(' CRL-----', ' X509 CRL-----')}\n`;
  }
}

/** A new certificate authority: a self-signed root, or an intermediate below `parent`. */
export async function createAuthority(options: AuthorityOptions = {}): Promise<Authority> {
  const name = options.name ?? `Test CA ${randomBytes(4).toString('hex')}`;
  const keys = options.sameKeyAs?.keys ?? (await generateKeys(options.keyType ?? 'ec-p256'));
  const subject = `CN=${name}`;
  const usages = options.usages === undefined ? authorityUsages : options.usages;
  const certificatePem = await sign({
    subject,
    keys,
    issuer: options.parent ?? { subject, keys },
    hash: options.hash,
    notBefore: options.notBefore ?? new Date(Date.now() - DAY),
    notAfter: options.notAfter ?? new Date(Date.now() + 3650 * DAY),
    serial: options.serial,
    extensions: [
      new x509.BasicConstraintsExtension(!options.noCa, options.pathLength, true),
      ...(usages === null ? [] : [new x509.KeyUsagesExtension(usages, true)]),
      ...(options.eku ? [new x509.ExtendedKeyUsageExtension(options.eku.map(usageOid))] : []),
      ...(options.extensions ?? []),
    ],
  });
  const chainPem = options.parent ? certificatePem + options.parent.chainPem : '';
  return new Authority(name, certificatePem, chainPem, keys);
}

/** A certificate that is its own issuer and, as `openssl req -x509` makes it, an authority. */
export async function selfSigned(options: LeafOptions = {}): Promise<Leaf> {
  const keys = options.sameKeyAs?.keys ?? (await generateKeys(options.keyType ?? 'ec-p256'));
  return new Leaf(await signLeaf({ ca: true, ...options }, keys, { subject: leafSubject(options), keys }), '', keys);
}

/** SHA-256 of the first certificate in `pem`, in lower-case hex without colons. */
export function fingerprintOf(pem: string | Buffer): string {
  return bareHex(new X509Certificate(pem).fingerprint256);
}

function bareHex(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase();
}

function leafNames(options: LeafOptions): readonly string[] {
  return options.names ?? ['localhost'];
}

function leafSubject(options: LeafOptions): string {
  return `CN=${options.commonName ?? leafNames(options)[0] ?? 'nameless'}`;
}

function signLeaf(options: LeafOptions, keys: KeyPair, issuer: Issuer): Promise<string> {
  return sign({
    subject: leafSubject(options),
    keys,
    issuer,
    hash: options.hash,
    notBefore: options.notBefore ?? new Date(Date.now() - HOUR),
    notAfter: options.notAfter ?? new Date(Date.now() + 90 * DAY),
    serial: options.serial,
    extensions: leafExtensions(options, keys.keyType),
  });
}

function leafExtensions(options: LeafOptions, keyType: KeyType): x509.Extension[] {
  const { digitalSignature, keyEncipherment, keyCertSign } = x509.KeyUsageFlags;
  let usages = digitalSignature;
  if (keyType.startsWith('rsa-')) usages |= keyEncipherment;
  if (options.ca) usages |= keyCertSign;
  const keyUsage = options.usages === undefined ? usages : options.usages;
  const extensions: x509.Extension[] = [
    new x509.BasicConstraintsExtension(options.ca ?? false, undefined, true),
    ...(keyUsage === null ? [] : [new x509.KeyUsagesExtension(keyUsage, true)]),
  ];
  const eku = options.eku === undefined ? ['serverAuth'] : options.eku;
  if (eku) extensions.push(new x509.ExtendedKeyUsageExtension(eku.map(usageOid)));
  const names = leafNames(options);
  if (!options.noSan && names.length > 0) {
    const san = names.map((value) => ({ type: isIP(value) ? ('ip' as const) : ('dns' as const), value }));
    extensions.push(new x509.SubjectAlternativeNameExtension(san));
  }
  if (options.aiaCaIssuers) {
    extensions.push(new x509.AuthorityInfoAccessExtension({ caIssuers: options.aiaCaIssuers }));
  }
  return extensions;
}

function usageOid(usage: string): string {
  if (usage === 'serverAuth') return x509.ExtendedKeyUsage.serverAuth;
  if (usage === 'clientAuth') return x509.ExtendedKeyUsage.clientAuth;
  return usage;
}
