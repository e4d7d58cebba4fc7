import forge from 'node-forge';
import { unreadable } from './fault.ts';

/** A node of a DER (or BER) tree. */
export type Node = forge.asn1.Asn1;

const { UNIVERSAL, CONTEXT_SPECIFIC } = forge.asn1.Class;
const { INTEGER, OCTETSTRING, OID, SEQUENCE, SET } = forge.asn1.Type;

/**
 * Reads a tree that takes up all of the bytes.
 * @throws whatever forge throws when the bytes are no such tree
 */
export function readTree(bytes: Uint8Array): Node {
  return forge.asn1.fromDer(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1'), true);
}

/** The DER of a node. */
export function writeTree(node: Node): Buffer {
  return Buffer.from(forge.asn1.toDer(node).getBytes(), 'latin1');
}

/** @throws KeystoreFault unless the node is a SEQUENCE or SET */
export function childrenOf(node: Node | undefined): readonly Node[] {
  const known = node?.tagClass === UNIVERSAL && (node.type === SEQUENCE || node.type === SET);
  if (!known || !Array.isArray(node.value)) throw malformed();
  return node.value;
}

/** The node within `[number] EXPLICIT`, or those that `[number] IMPLICIT` stands for. */
export function taggedChildren(node: Node | undefined, number: number): readonly Node[] {
  if (!isTagged(node, number) || !Array.isArray(node?.value)) throw malformed();
  return node.value;
}

/** The bytes of an OCTET STRING, or of one that is tagged `[number] IMPLICIT`; in BER it may come in pieces (X.690 §8.7.3). */
export function octetsOf(node: Node | undefined, number?: number): Buffer {
  const known =
    number === undefined ? node?.tagClass === UNIVERSAL && node.type === OCTETSTRING : isTagged(node, number);
  if (!node || !known) throw malformed();
  if (typeof node.value === 'string') return Buffer.from(node.value, 'latin1');
  return Buffer.concat(node.value.map((piece) => octetsOf(piece)));
}

/** An object identifier in its dotted form. */
export function oidOf(node: Node | undefined): string {
  if (node?.tagClass !== UNIVERSAL || node.type !== OID || typeof node.value !== 'string') throw malformed();
  return forge.asn1.derToOid(node.value);
}

/** A non-negative integer; one that is too large to be exact is Infinity. */
export function integerOf(node: Node | undefined): number {
  if (!isInteger(node) || typeof node?.value !== 'string' || node.value.length === 0) throw malformed();
  const bytes = Buffer.from(node.value, 'latin1');
  if ((bytes[0] ?? 0) > 0x7f) throw malformed();
  const value = Number(`0x${bytes.toString('hex')}`);
  return Number.isSafeInteger(value) ? value : Number.POSITIVE_INFINITY;
}

export function isInteger(node: Node | undefined): boolean {
  return node?.tagClass === UNIVERSAL && node.type === INTEGER;
}

/** The text of a string of any type; empty when it is none. */
export function textOf(node: Node | undefined): string {
  return typeof node?.value === 'string' ? node.value : '';
}

function isTagged(node: Node | undefined, number: number): boolean {
  return node?.tagClass === CONTEXT_SPECIFIC && (node.type as number) === number;
}

function malformed() {
  return unreadable('is damaged: it is not built as PKCS#12');
}
