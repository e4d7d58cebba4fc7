import { type Sealed, unseal } from './decrypt.ts';
import { childrenOf, type Node, octetsOf, oidOf, readTree, taggedChildren, textOf, writeTree } from './der.ts';
import { type Effort, type Password, refuse } from './derive.ts';
import { unreadable } from './fault.ts';

/** A private key of a keystore: PKCS#8, perhaps encrypted on its own. */
export interface KeyBag {
  /** friendlyName; Java's alias. Null when there is none. */
  readonly alias: string | null;
  readonly key: Buffer | Sealed;
}

/** What a keystore holds of use. */
export interface Bags {
  readonly keys: KeyBag[];
  /** DER. */
  readonly certificates: Buffer[];
}

const oids = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  keyBag: '1.2.840.113549.1.12.10.1.1',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certificateBag: '1.2.840.113549.1.12.10.1.3',
  safeContentsBag: '1.2.840.113549.1.12.10.1.6',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  friendlyName: '1.2.840.113549.1.9.20',
} as const;

/** The content of a ContentInfo that holds plain data (RFC 7292 §4.1). */
export function dataOf(contentInfo: Node | undefined): Buffer {
  const [type, content] = childrenOf(contentInfo);
  if (oidOf(type) !== oids.data) refuse('public key', oidOf(type));
  return octetsOf(taggedChildren(content, 0)[0]);
}

/** The parts of a keystore that are encrypted, without a look into them. */
export function sealedParts(authenticatedSafe: Buffer): Sealed[] {
  const sealed: Sealed[] = [];
  for (const part of childrenOf(readTree(authenticatedSafe))) {
    if (oidOf(childrenOf(part)[0]) === oids.encryptedData) {
      sealed.push(sealedContent(part));
      continue;
    }
    const { keys } = readContents(dataOf(part), { keys: [], certificates: [] });
    for (const { key } of keys) if (!Buffer.isBuffer(key)) sealed.push(key);
  }
  return sealed;
}

/**
 * Reads the keys and certificates; keys that are encrypted on their own stay so.
 * @returns null when the password does not open a part
 * @throws KeystoreFault KEYSTORE_UNREADABLE; whatever forge throws where it is no DER
 */
export function readBags(authenticatedSafe: Buffer, password: Password, effort: Effort): Bags | null {
  const bags: Bags = { keys: [], certificates: [] };
  for (const part of childrenOf(readTree(authenticatedSafe))) {
    const encrypted = oidOf(childrenOf(part)[0]) === oids.encryptedData;
    const contents = encrypted ? unseal(sealedContent(part), password, effort) : dataOf(part);
    if (!contents) return null;
    readContents(contents, bags);
  }
  return bags;
}

/** EncryptedData (RFC 5652 §8). */
function sealedContent(contentInfo: Node): Sealed {
  const encryptedData = taggedChildren(childrenOf(contentInfo)[1], 0)[0];
  const [, algorithm, content] = childrenOf(childrenOf(encryptedData)[1]);
  return { algorithm, bytes: octetsOf(content, 0) };
}

/** SafeContents (RFC 7292 §4.2). Bags of other kinds, Java's secret keys among them, are passed over. */
function readContents(safeContents: Buffer, bags: Bags): Bags {
  for (const bag of childrenOf(readTree(safeContents))) readBag(bag, bags);
  return bags;
}

function readBag(bag: Node, bags: Bags): void {
  const [type, wrapped, attributes] = childrenOf(bag);
  const value = taggedChildren(wrapped, 0)[0];
  if (!value) throw unreadable('is damaged: a part of it is empty');
  switch (oidOf(type)) {
    case oids.keyBag:
      bags.keys.push({ alias: aliasOf(attributes), key: writeTree(value) });
      break;
    case oids.shroudedKeyBag: {
      const [algorithm, encrypted] = childrenOf(value);
      bags.keys.push({ alias: aliasOf(attributes), key: { algorithm, bytes: octetsOf(encrypted) } });
      break;
    }
    case oids.certificateBag: {
      const [kind, certificate] = childrenOf(value);
      if (oidOf(kind) === oids.x509Certificate) bags.certificates.push(octetsOf(taggedChildren(certificate, 0)[0]));
      break;
    }
    case oids.safeContentsBag:
      for (const inner of childrenOf(value)) readBag(inner, bags);
      break;
  }
}

function aliasOf(attributes: Node | undefined): string | null {
  if (!attributes) return null;
  for (const attribute of childrenOf(attributes)) {
    const [type, values] = childrenOf(attribute);
    if (oidOf(type) === oids.friendlyName) return textOf(childrenOf(values)[0]) || null;
  }
  return null;
}
