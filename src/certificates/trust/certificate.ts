import { contextTag, DerError, type DerExtension, DerReader, readExtensions, tags } from './der.ts';
import { readSignatureAlgorithm, type SignatureAlgorithm } from './signature.ts';

/** Bits of keyUsage (RFC 5280 §4.2.1.3), as the first byte holds them. */
export const keyUsages = { digitalSignature: 0x80, keyAgreement: 0x08, keyCertSign: 0x04, cRLSign: 0x02 } as const;

/** What a certificate says, as far as `X509Certificate` of Node does not tell it, or tells it as text. */
export interface CertificateFacts {
  /** The DER of the Name, one character per byte: what names are compared and looked up by. */
  readonly subject: string;
  readonly issuer: string;
  /** As {@link DerReader.integerKey} gives it. */
  readonly serial: string;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  /** Milliseconds since 1970. */
  readonly notAfter: number;
  readonly signature: SignatureAlgorithm;
  /** basicConstraints say that it is one of an authority. */
  readonly ca: boolean;
  /** How many intermediates may stand between it and the leaf. */
  readonly pathLength: number | null;
  /** The first byte of keyUsage; null without the extension. */
  readonly keyUsage: number | null;
  /** Object identifiers of extKeyUsage; null without the extension. */
  readonly purposes: readonly string[] | null;
  /** The object identifier of an extension that restricts it in a way that is not known here. */
  readonly restriction: string | null;
}

const basicConstraints = '2.5.29.19';
const keyUsage = '2.5.29.15';
const extKeyUsage = '2.5.29.37';
const nameConstraints = '2.5.29.30';
/**
 * Extensions that may be critical without a say in whom to trust: names, identifiers, where to fetch what, and policies, of which
 * none is asked for (RFC 5280 §6.1.1 (c)).
 */
const indifferent = new Set(
  [14, 17, 18, 31, 32, 33, 35, 36, 46, 54].map((arc) => `2.5.29.${arc}`).concat('1.3.6.1.5.5.7.1.1'),
);

/**
 * Reads a certificate (RFC 5280 §4.1). Its signature is not checked.
 * @throws DerError
 */
export function readCertificate(der: Buffer): CertificateFacts {
  const file = new DerReader(der);
  const certificate = file.enter(tags.sequence);
  file.finish();
  const tbs = certificate.enter(tags.sequence);
  const signature = readSignatureAlgorithm(certificate.enter(tags.sequence));
  certificate.bitString();
  certificate.finish();

  const explicit = tbs.optional(contextTag(0));
  const version = explicit ? tbs.within(explicit).smallInteger() : 0;
  if (version > 2) throw new DerError('a version is not known');
  const serial = tbs.integerKey();
  tbs.next(tags.sequence);
  const issuer = nameOf(tbs);
  const validity = tbs.enter(tags.sequence);
  const notBefore = validity.time();
  const notAfter = validity.time();
  validity.finish();
  const subject = nameOf(tbs);
  tbs.next(tags.sequence);
  tbs.optional(contextTag(1, 'primitive'));
  tbs.optional(contextTag(2, 'primitive'));
  const listed = tbs.optional(contextTag(3));
  tbs.finish();
  if (listed && version !== 2) throw new DerError('only version 3 has extensions');
  const extensions = listed ? readExtensions(tbs.within(listed)) : [];
  return { subject, issuer, serial, notBefore, notAfter, signature, ...readRestrictions(extensions) };
}

/** The DER of the Name that comes next. */
export function nameOf(reader: DerReader): string {
  const { start, end } = reader.next(tags.sequence);
  return reader.bytes.toString('latin1', start, end);
}

type Restrictions = Pick<CertificateFacts, 'ca' | 'pathLength' | 'keyUsage' | 'purposes' | 'restriction'>;

function readRestrictions(extensions: readonly DerExtension[]): Restrictions {
  let restrictions: Restrictions = { ca: false, pathLength: null, keyUsage: null, purposes: null, restriction: null };
  for (const { oid, critical, value } of extensions) {
    if (oid === basicConstraints) restrictions = { ...restrictions, ...readBasicConstraints(value) };
    else if (oid === keyUsage) restrictions = { ...restrictions, keyUsage: value.bitString().bytes[0] ?? 0 };
    else if (oid === extKeyUsage) restrictions = { ...restrictions, purposes: readPurposes(value) };
    // Name constraints narrow what an authority is trusted for, whether they are marked as critical or not.
    else if (oid === nameConstraints || (critical && !indifferent.has(oid))) {
      restrictions = { ...restrictions, restriction: oid };
    }
  }
  return restrictions;
}

function readBasicConstraints(value: DerReader): Pick<CertificateFacts, 'ca' | 'pathLength'> {
  const constraints = value.enter(tags.sequence);
  value.finish();
  const ca = constraints.tag === tags.boolean && constraints.boolean();
  const pathLength = constraints.tag === tags.integer ? constraints.smallInteger() : null;
  constraints.finish();
  return { ca, pathLength };
}

function readPurposes(value: DerReader): string[] {
  const list = value.enter(tags.sequence);
  value.finish();
  const purposes: string[] = [];
  while (!list.done) purposes.push(list.oid());
  return purposes;
}
