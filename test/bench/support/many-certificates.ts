import { createPublicKey, generateKeyPairSync, hash, type KeyObject, randomBytes, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Authority } from '../../support/pki.ts';

/** A certificate in a directory of many. */
export interface OneOfMany {
  /** The only name it is for. */
  name: string;
  /** PEM, key first. */
  file: string;
}

/**
 * Writes `count` certificates for as many names, one file with key and certificate each, every one with a P-256 key of its
 * own. One leaf is issued; the others are copies of it with other names, keys and serial numbers, signed again: a tenth
 * of a millisecond each.
 */
export async function writeManyCertificates(
  authority: Authority,
  count: number,
  directory: string,
): Promise<OneOfMany[]> {
  const nameOf = (index: number) => `host-${String(index).padStart(6, '0')}.test`;
  const template = await Template.from(authority, nameOf(0));
  return Array.from({ length: count }, (_, index) => {
    const name = nameOf(index);
    const file = join(directory, `${name}.pem`);
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(file, `${key}${template.issue(name, publicKey)}`, { mode: 0o600 });
    return { name, file };
  });
}

/** DER of a leaf, of which everything that differs between two leaves has a fixed length. */
class Template {
  readonly #tbs: Buffer;
  /** The signature algorithm, as it stands behind what is signed (RFC 5280 §4.1). */
  readonly #algorithm: Buffer;
  readonly #serial: Buffer;
  readonly #name: string;
  readonly #publicKey: KeyObject;
  readonly #issuer: KeyObject;

  private constructor(der: Buffer, serial: Buffer, name: string, publicKey: KeyObject, issuer: KeyObject) {
    const { content } = readDer(der, 0);
    const tbs = readDer(der, content);
    this.#tbs = der.subarray(content, tbs.end);
    this.#algorithm = der.subarray(tbs.end, readDer(der, tbs.end).end);
    this.#serial = serial;
    this.#name = name;
    this.#publicKey = publicKey;
    this.#issuer = issuer;
  }

  static async from(authority: Authority, name: string): Promise<Template> {
    const serial = newSerial();
    const leaf = await authority.issue({ names: [name], serial: serial.toString('hex') });
    return new Template(leaf.x509.raw, serial, name, createPublicKey(leaf.keys.privateKey), authority.keys.privateKey);
  }

  /** PEM of a certificate for a name of the same length. */
  issue(name: string, publicKey: KeyObject): string {
    const tbs = Buffer.from(this.#tbs);
    replaceAll(tbs, this.#serial, newSerial());
    replaceAll(tbs, Buffer.from(this.#name), Buffer.from(name));
    replaceAll(tbs, pointOf(this.#publicKey), pointOf(publicKey));
    replaceAll(tbs, keyIdentifier(this.#publicKey), keyIdentifier(publicKey));
    const signature = Buffer.concat([Buffer.of(0), sign('sha256', tbs, this.#issuer)]);
    const der = writeDer(0x30, Buffer.concat([tbs, this.#algorithm, writeDer(0x03, signature)]));
    const lines = der
      .toString('base64')
      .replace(/(.{64})/g, '$1\n')
      .trimEnd();
    return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
  }
}

/** Positive, and as long as any other: the first byte is neither 0 nor above 127. */
function newSerial(): Buffer {
  const serial = randomBytes(16);
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f);
  return serial;
}

/** Uncompressed point of a P-256 key: the last 65 bytes of its SPKI. */
function pointOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' }).subarray(-65);
}

/** RFC 5280 §4.2.1.2, method 1. */
function keyIdentifier(key: KeyObject): Buffer {
  return hash('sha1', pointOf(key), 'buffer');
}

function replaceAll(bytes: Buffer, old: Buffer, fresh: Buffer): void {
  let found = bytes.indexOf(old);
  if (found < 0 || old.length !== fresh.length) throw new Error('the leaf does not look as expected');
  for (; found >= 0; found = bytes.indexOf(old, found + old.length)) fresh.copy(bytes, found);
}

/** Where the contents of the DER value at `start` begin, and where it ends. */
function readDer(der: Buffer, start: number): { content: number; end: number } {
  const first = der[start + 1] ?? 0;
  const more = first < 0x80 ? 0 : first & 0x7f;
  const length = more === 0 ? first : der.readUIntBE(start + 2, more);
  return { content: start + 2 + more, end: start + 2 + more + length };
}

function writeDer(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content]);
  if (length < 0x100) return Buffer.concat([Buffer.of(tag, 0x81, length), content]);
  return Buffer.concat([Buffer.of(tag, 0x82, length >> 8, length & 0xff), content]);
}
