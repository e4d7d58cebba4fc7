import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { buildChain } from '../chain.ts';
import { type Bags, dataOf, type KeyBag, readBags, sealedParts } from './bags.ts';
import { unseal } from './decrypt.ts';
import { childrenOf, integerOf, type Node, readTree } from './der.ts';
import { Effort, type Password } from './derive.ts';
import { KeystoreFault, unreadable } from './fault.ts';
import { macFits } from './mac.ts';
import type { Opened, OpenedKey } from './messages.ts';

const version = 3;

/**
 * Opens a PKCS#12 keystore (RFC 7292): verifies its MAC, decrypts it and gives each private key with the certificates that belong
 * to it, leaf first. Pure, and slow by design of the format: tens of milliseconds, seconds at worst.
 * @param passphrase null when none is given; an empty one and none at all are both tried then
 * @returns the keys, or why there are none; never throws
 */
export function openKeystore(bytes: Uint8Array, passphrase: string | null): Opened {
  try {
    return { keys: open(bytes, passphrase) };
  } catch (error) {
    if (error instanceof KeystoreFault) return { fault: { code: error.code, message: error.message } };
    // The cause is not handed on: it may quote what was read.
    return { fault: { code: 'KEYSTORE_UNREADABLE', message: 'is damaged or cut short' } };
  }
}

function open(bytes: Uint8Array, passphrase: string | null): OpenedKey[] {
  const [first, contentInfo, macData] = childrenOf(readRoot(bytes));
  if (integerOf(first) !== version) throw unreadable('is damaged, or no PKCS#12 of version 3');
  const content = dataOf(contentInfo);
  const effort = new Effort();
  const passwords: readonly Password[] = passphrase ? [passphrase] : ['', null];
  const bags = unlock(content, macData, passwords, effort);
  if (!bags) throw refusal(passphrase);
  if (bags.keys.length === 0) throw new KeystoreFault('KEYSTORE_EMPTY', 'holds no private key');
  const certificates = readCertificates(bags);
  // Where nothing but a key is encrypted, only now it shows whether the passphrase is right.
  const refused = macData && passphrase ? ownPassphrase() : refusal(passphrase);
  const keys = bags.keys.map((bag) => ({ bag, key: readKey(bag, passwords, effort) ?? refused }));
  return keys.map(({ bag, key }) => ({ alias: bag.alias, ...withCertificates(key, certificates) }));
}

function readRoot(bytes: Uint8Array): Node {
  const start = Buffer.from(bytes.subarray(0, 16));
  if (start.length === 0) throw unreadable('is empty');
  if (start.toString('latin1').trimStart().startsWith('-----BEGIN')) throw unreadable('is PEM, not PKCS#12');
  const magic = start.readUInt32BE.bind(start);
  if (start.length >= 4 && (magic(0) === 0xfeedfeed || magic(0) === 0xcececece)) {
    throw unreadable('is a Java keystore of the old kind (JKS), not PKCS#12; convert it with keytool -importkeystore');
  }
  if (start[0] !== 0x30) throw unreadable('is not PKCS#12');
  return readTree(bytes);
}

/** What a keystore holds; null when none of the passwords fits. */
function unlock(
  content: Buffer,
  macData: Node | undefined,
  passwords: readonly Password[],
  effort: Effort,
): Bags | null {
  for (const password of passwords) {
    if (macData && !macFits(macData, content, password, effort)) continue;
    const bags = readBags(content, password, effort);
    if (bags) return bags;
  }
  // A password that opens a part is right: then it is the rest, or the MAC, that was changed.
  if (sealedParts(content).some((part) => passwords.some((one) => unseal(part, one, effort)))) {
    throw unreadable('is damaged: its passphrase opens it, but it is not whole');
  }
  return null;
}

function refusal(passphrase: string | null): KeystoreFault {
  if (passphrase === null) return new KeystoreFault('KEY_PASSPHRASE_MISSING', 'needs a passphrase and none is given');
  const given = passphrase === '' ? 'an empty passphrase' : 'the passphrase that is given';
  return new KeystoreFault('KEY_PASSPHRASE_WRONG', `is not opened by ${given}`);
}

/** A program may give each key of a keystore a password of its own. */
function ownPassphrase(): KeystoreFault {
  return new KeystoreFault('KEY_PASSPHRASE_WRONG', 'is opened by its passphrase, but a private key in it is not');
}

function readCertificates({ certificates }: Bags): X509Certificate[] {
  return certificates.map((der, i) => {
    try {
      return new X509Certificate(der);
    } catch {
      throw unreadable(`is damaged: certificate ${i + 1} of ${certificates.length} cannot be read`);
    }
  });
}

/** A key, or why it alone cannot be used; null when none of the passwords opens it. */
function readKey({ key }: KeyBag, passwords: readonly Password[], effort: Effort): KeyObject | KeystoreFault | null {
  const der = Buffer.isBuffer(key) ? key : firstOf(passwords, (password) => unseal(key, password, effort));
  if (!der) return null;
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } catch {
    return unreadable('holds a private key that is damaged or of an unknown kind');
  }
}

function withCertificates(key: KeyObject | KeystoreFault, certificates: readonly X509Certificate[]) {
  if (key instanceof KeystoreFault) return { fault: { code: key.code, message: key.message } };
  if (certificates.length === 0) {
    const message = 'holds a private key and no certificate';
    return { fault: { code: 'CERT_MISSING', message } } as const;
  }
  return {
    // Where none is its leaf, validation has to see them to say so.
    certificatePem: (chainOf(key, certificates) ?? certificates).map((one) => one.toString()).join(''),
    keyPem: key.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

/** The certificates that belong to a key, a root included; null when none is its leaf. */
function chainOf(key: KeyObject, certificates: readonly X509Certificate[]): X509Certificate[] | null {
  const chain = buildChain(certificates, key);
  if (!chain) return null;
  const root = certificates.filter(
    (one) => !chain.certificates.includes(one) && !chain.strangers.includes(one) && !one.raw.equals(chain.leaf.raw),
  );
  return [...chain.certificates, ...root];
}

function firstOf<T, R>(items: readonly T[], task: (item: T) => R | null): R | null {
  for (const item of items) {
    const result = task(item);
    if (result !== null) return result;
  }
  return null;
}
