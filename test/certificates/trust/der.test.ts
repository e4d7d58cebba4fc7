import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import fc from 'fast-check';
import { readCertificate } from '../../../src/certificates/trust/certificate.ts';
import { readCrl } from '../../../src/certificates/trust/crl.ts';
import { DerError, DerReader, readExtensions } from '../../../src/certificates/trust/der.ts';
import { createAuthority } from '../../support/pki.ts';
import { derOf, issueClient, validated } from './support/bundle.ts';
import { element, utcTime } from './support/der.ts';

const reader = (hex: string) => new DerReader(Buffer.from(hex, 'hex'));

/** Reads everything there is, to any depth, as if it were all DER. */
function walk(one: DerReader): void {
  while (!one.done) {
    const found = one.next();
    if (found.tag & 0x20) walk(one.within(found));
  }
}

describe('the reader takes', () => {
  test('short and long lengths, and goes on behind an element', () => {
    const long = element(0x04, Buffer.alloc(300, 7));
    const all = new DerReader(Buffer.concat([Buffer.from('0500', 'hex'), long, Buffer.from('0101ff', 'hex')]));
    assert.deepEqual(all.next(0x05), { tag: 5, start: 0, content: 2, end: 2 });
    assert.deepEqual(all.next(), { tag: 4, start: 2, content: 6, end: 306 });
    assert.equal(all.tag, 1);
    assert.equal(all.optional(0x02), null);
    assert.equal(all.boolean(), true);
    assert.ok(all.done);
    all.finish();
  });

  test('object identifiers', () => {
    assert.equal(reader('06092a864886f70d01010b').oid(), '1.2.840.113549.1.1.11');
    assert.equal(reader('0603550403').oid(), '2.5.4.3');
    assert.equal(reader('0603883703').oid(), '2.999.3');
    assert.equal(reader('060100').oid(), '0.0');
  });

  test('numbers', () => {
    assert.equal(reader('020100').smallInteger(), 0);
    assert.equal(reader('0202ff7f').integerKey(), '\xff\x7f');
    assert.equal(reader('02047fffffff').smallInteger(), 2 ** 31 - 1);
  });

  test('both kinds of time, with the turn of the century where RFC 5280 has it', () => {
    const at = (hex: Buffer) => new Date(new DerReader(hex).time()).toISOString();
    assert.equal(at(utcTime('491231235959Z')), '2049-12-31T23:59:59.000Z');
    assert.equal(at(utcTime('500101000000Z')), '1950-01-01T00:00:00.000Z');
    assert.equal(at(element(0x18, Buffer.from('20500229000000Z'.replace('0229', '0228')))), '2050-02-28T00:00:00.000Z');
    assert.equal(at(element(0x18, Buffer.from('99991231235959Z'))), '9999-12-31T23:59:59.000Z');
  });
});

describe('the reader refuses', () => {
  const refused: Readonly<Record<string, () => unknown>> = {
    'nothing at all': () => reader('').next(),
    'a tag without length': () => reader('30').next(),
    'another tag': () => reader('0500').next(0x30),
    'a tag of several bytes': () => reader('1f8101').next(),
    'an indefinite length': () => reader('30800000').next(),
    'a length that is cut short': () => reader('3082ff').next(),
    'a length of too many bytes': () => reader('308500000000010000').next(),
    'a length in a longer form': () => reader(`30817f${'00'.repeat(127)}`).next(),
    'a length with a leading zero': () => reader(`30820080${'00'.repeat(128)}`).next(),
    'a content that is cut short': () => reader('30050000').next(),
    'a content that reaches out of what it stands in': () => reader('3003040500ffffffff').enter(0x30).next(),
    'the largest length': () => reader('3084ffffffff00').next(),
    'more than expected': () => reader('0500').finish(),
    'an integer of no bytes': () => reader('0200').integerKey(),
    'an integer in a longer form': () => reader('0202007f').integerKey(),
    'a negative integer in a longer form': () => reader('0202ff80').integerKey(),
    'a negative number where one counts': () => reader('0201ff').smallInteger(),
    'a number that is too large': () => reader('02050080000000').smallInteger(),
    'a boolean that is neither': () => reader('010101').boolean(),
    'a boolean of two bytes': () => reader('0102ffff').boolean(),
    'an empty object identifier': () => reader('0600').oid(),
    'an object identifier that is cut short': () => reader('060288ff').oid(),
    'an object identifier in a longer form': () => reader('06028001').oid(),
    'an endless object identifier': () => reader(`0614${'ff'.repeat(19)}7f`).oid(),
    'a bit string of no bytes': () => reader('0300').bitString(),
    'a bit string with too many unused bits': () => reader('03020800').bitString(),
    'a bit string that is all unused': () => reader('030107').bitString(),
    'a time without Z': () => new DerReader(utcTime('260101000000')).time(),
    'a time without seconds': () => new DerReader(utcTime('2601010000Z')).time(),
    'a time with an offset': () => new DerReader(utcTime('260101000000+0100')).time(),
    'a time with fractions': () => new DerReader(element(0x18, Buffer.from('20260101000000.5Z'))).time(),
    'the 30th of February': () => new DerReader(utcTime('260230000000Z')).time(),
    'the 24th hour': () => new DerReader(utcTime('260101240000Z')).time(),
    'a leap second': () => new DerReader(utcTime('261231235960Z')).time(),
    'extensions with something behind them': () => readExtensions(reader('30000500')),
  };
  for (const [what, read] of Object.entries(refused)) test(what, () => void assert.throws(read, DerError));
});

describe('whatever the bytes are', () => {
  let samples: Buffer[];

  before(async () => {
    const root = await createAuthority({ pathLength: 1 });
    const leaf = await issueClient(root);
    samples = [root.x509.raw, leaf.x509.raw, derOf(await root.crl([leaf, root]))];
  });

  /** Reads bytes in all ways; anything thrown but a DerError fails the property. */
  function readAll(bytes: Buffer): void {
    for (const read of [readCertificate, readCrl, (all: Buffer) => walk(new DerReader(all))]) {
      try {
        read(bytes);
      } catch (error) {
        if (!(error instanceof DerError)) throw error;
      }
    }
    for (const { code } of validated(bytes).findings) assert.match(code, /^(TRUST|CRL)_/);
  }

  test('random ones end in an answer or in a DerError', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => readAll(Buffer.from(bytes))));
  });

  test('those of a certificate or CRL with some changed, cut out or put in do too', () => {
    const change = fc.record({ at: fc.nat(), remove: fc.nat(3), put: fc.uint8Array({ maxLength: 3 }) });
    const changes = fc.array(change, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.nat(2), changes, (which, all) => {
        let bytes = samples[which] ?? Buffer.alloc(0);
        for (const { at, remove, put } of all) {
          const from = at % bytes.length;
          bytes = Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(from + remove)]);
        }
        readAll(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  test('every beginning of a certificate or CRL is refused, and so is anything behind it', () => {
    for (const [i, sample] of samples.entries()) {
      const read = i === 2 ? readCrl : readCertificate;
      read(sample);
      for (let end = 0; end < sample.length; end += 1) assert.throws(() => read(sample.subarray(0, end)), DerError);
      assert.throws(() => read(Buffer.concat([sample, Buffer.from([0])])), DerError);
    }
  });
});
