import type { KeyObject } from 'node:crypto';
import { nameOf } from './certificate.ts';
import { contextTag, DerError, type DerExtension, DerReader, readExtensions, tags } from './der.ts';
import { isSigned, readSignatureAlgorithm, type SignatureAlgorithm } from './signature.ts';

/** A certificate revocation list (RFC 5280 §5). */
export interface Crl {
  readonly der: Buffer;
  /** The DER of the Name, one character per byte. */
  readonly issuer: string;
  /** Milliseconds since 1970. */
  readonly thisUpdate: number;
  /** Milliseconds since 1970; null when it does not say. */
  readonly nextUpdate: number | null;
  /** Serial numbers, as `DerReader.integerKey` gives them. */
  readonly revoked: ReadonlySet<string>;
  readonly algorithm: SignatureAlgorithm;
  readonly signed: Buffer;
  readonly signature: Buffer;
}

const arc = (number: number) => `2.5.29.${number}`;
const reasonCode = arc(21);
const issuingDistributionPoint = arc(28);
const certificateIssuer = arc(29);
const deltaCrlIndicator = arc(27);
const removeFromCrl = 8;
/** Of a list: authority key identifier, issuer's other names, number, where the delta lists are. */
const indifferent: ReadonlySet<string> = new Set([arc(35), arc(18), arc(20), arc(46), '1.3.6.1.5.5.7.1.1']);
/** Of an entry: reason, hold instruction, since when the key is not to be trusted. */
const indifferentInEntries: ReadonlySet<string> = new Set([reasonCode, arc(23), arc(24)]);

/**
 * Reads a CRL (RFC 5280 §5.1). Its signature is not checked.
 * @throws DerError also for a list that does not stand for itself: a delta CRL, an indirect one, one with an extension that is
 *   critical and unknown (§5.2: it must not be used to tell what is revoked)
 */
export function readCrl(der: Buffer): Crl {
  const file = new DerReader(der);
  const list = file.enter(tags.sequence);
  file.finish();
  const whole = list.next(tags.sequence);
  const tbs = list.within(whole);
  const outer = list.next(tags.sequence);
  const algorithm = readSignatureAlgorithm(list.within(outer));
  const { bytes: signature, unused } = list.bitString();
  list.finish();
  if (unused > 0) throw new DerError('a signature is not of whole bytes');

  const version = tbs.tag === tags.integer ? tbs.smallInteger() : 0;
  if (version > 1) throw new DerError('a version is not known');
  const inner = tbs.next(tags.sequence);
  // §5.1.1.2: what the signature covers has to say the same as what stands beside it.
  if (!der.subarray(inner.start, inner.end).equals(der.subarray(outer.start, outer.end))) {
    throw new DerError('the two signature algorithms differ');
  }
  const issuer = nameOf(tbs);
  const thisUpdate = tbs.time();
  const nextUpdate = tbs.tag === tags.utcTime || tbs.tag === tags.generalizedTime ? tbs.time() : null;
  const entries = tbs.optional(tags.sequence);
  const listed = tbs.optional(contextTag(0));
  tbs.finish();
  if (listed && version !== 1) throw new DerError('only version 2 has extensions');
  if (listed) for (const extension of readExtensions(tbs.within(listed))) checkExtension(extension);
  const revoked = entries ? readEntries(tbs.within(entries), version) : new Set<string>();
  const signed = der.subarray(whole.start, whole.end);
  return { der, issuer, thisUpdate, nextUpdate, revoked, algorithm, signed, signature };
}

/** Whether a CRL is signed with the private key of `key`, in a way that is accepted. Never throws. */
export function isCrlSignedBy({ algorithm, signed, signature }: Crl, key: KeyObject): boolean {
  return algorithm.scheme !== null && isSigned(algorithm.scheme, key, signed, signature);
}

function readEntries(entries: DerReader, version: number): Set<string> {
  const revoked = new Set<string>();
  while (!entries.done) {
    const entry = entries.enter(tags.sequence);
    revoked.add(entry.integerKey());
    const { tag } = entry.next();
    if (tag !== tags.utcTime && tag !== tags.generalizedTime) throw new DerError('a time is expected');
    if (entry.done) continue;
    if (version !== 1) throw new DerError('only version 2 has extensions');
    for (const extension of readExtensions(entry)) checkEntryExtension(extension);
  }
  return revoked;
}

function checkExtension({ oid, critical, value }: DerExtension): void {
  if (oid === deltaCrlIndicator) throw new DerError('it is a delta CRL, which says nothing by itself');
  if (oid === issuingDistributionPoint) checkScope(value);
  else if (critical && !indifferent.has(oid)) throw new DerError(`its critical extension ${oid} is not known`);
}

/** A list for a part of the certificates is taken as what it says; one of others' certificates is not (§5.2.5). */
function checkScope(value: DerReader): void {
  const scope = value.enter(tags.sequence);
  value.finish();
  while (!scope.done) {
    const element = scope.next();
    if (element.tag === contextTag(4, 'primitive') && scope.booleanOf(element)) {
      throw new DerError('it is an indirect CRL, which names certificates of other issuers');
    }
    if (element.tag === contextTag(5, 'primitive') && scope.booleanOf(element)) {
      throw new DerError('it is a CRL of attribute certificates');
    }
  }
}

function checkEntryExtension({ oid, critical, value }: DerExtension): void {
  if (oid === certificateIssuer) {
    throw new DerError('it is an indirect CRL, which names certificates of other issuers');
  }
  if (oid === reasonCode) {
    const { content, end } = value.next(tags.enumerated);
    if (end - content === 1 && value.bytes[content] === removeFromCrl) {
      throw new DerError('it takes back a revocation, which only a delta CRL may');
    }
  } else if (critical && !indifferentInEntries.has(oid)) {
    throw new DerError(`the critical extension ${oid} of an entry is not known`);
  }
}
