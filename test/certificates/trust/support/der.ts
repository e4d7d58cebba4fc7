import { sign } from 'node:crypto';
import { readCertificate } from '../../../../src/certificates/trust/certificate.ts';
import { element, extension, integer, oid, sequence, utcTime } from '../../../support/der.ts';
import type { Authority } from '../../../support/pki.ts';

export { element, extension, integer, oid, sequence, utcTime };

const ecdsaSha256 = sequence(oid('2a8648ce3d040302'));

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
