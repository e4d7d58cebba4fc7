import { sign } from 'node:crypto';
import { readCertificate } from '../../../../src/certificates/trust/certificate.ts';
import type { Authority } from '../../../support/pki.ts';

/** An element: tag, length, content. */
export function element(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const digits = content.length.toString(16);
  const length = Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex');
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, content]);
}

export const sequence = (...parts: readonly Buffer[]) => element(0x30, ...parts);
export const integer = (hex: string) => element(0x02, Buffer.from(hex, 'hex'));
export const utcTime = (text: string) => element(0x17, Buffer.from(text));
export const oid = (hex: string) => element(0x06, Buffer.from(hex, 'hex'));
const ecdsaSha256 = sequence(oid('2a8648ce3d040302'));

/** An extension; `oidHex` is the content of its object identifier. */
export function extension(oidHex: string, critical: boolean, value: Buffer): Buffer {
  return sequence(oid(oidHex), ...(critical ? [element(0x01, Buffer.from([0xff]))] : []), element(0x04, value));
}

/** An entry of a CRL. */
export function entry(serialHex: string, ...extensions: readonly Buffer[]): Buffer {
  return sequence(
    integer(serialHex),
    utcTime('260101000000Z'),
    ...(extensions.length > 0 ? [sequence(...extensions)] : []),
  );
}

export interface CrlParts {
  readonly entries?: readonly Buffer[];
  readonly extensions?: readonly Buffer[];
  /** The AlgorithmIdentifier beside the signature, when it is to differ from the one under it. */
  readonly outerAlgorithm?: Buffer;
  readonly version?: string | null;
}

/** A CRL in DER, signed by an authority with a P-256 key: for what no tool writes. */
export function crlDer(
  authority: Authority,
  { entries = [], extensions = [], outerAlgorithm, version = '01' }: CrlParts,
): Buffer {
  const tbs = sequence(
    ...(version === null ? [] : [integer(version)]),
    ecdsaSha256,
    Buffer.from(readCertificate(authority.x509.raw).subject, 'latin1'),
    utcTime('260101000000Z'),
    utcTime('490101000000Z'),
    ...(entries.length > 0 ? [sequence(...entries)] : []),
    ...(extensions.length > 0 ? [element(0xa0, sequence(...extensions))] : []),
  );
  const signature = sign('sha256', tbs, authority.keys.privateKey);
  return sequence(tbs, outerAlgorithm ?? ecdsaSha256, element(0x03, Buffer.from([0]), signature));
}
