import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isCertificateLabel, isKeyLabel, parsePem, withoutKeys } from '../../src/certificates/pem.ts';

const labels = ['CERTIFICATE', 'TRUSTED CERTIFICATE', 'PRIVATE KEY', 'EC PRIVATE KEY', 'DH PARAMETERS', 'X509 CRL'];
const block = fc
  .record({ label: fc.constantFrom(...labels), body: fc.array(fc.base64String({ minLength: 1 }), { maxLength: 4 }) })
  .map(({ label, body }) => ({
    label,
    pem: [`-----BEGIN ${label}-----`, ...body, `-----END ${label}-----`, ''].join('\n'),
  }));
const between = fc.constantFrom('', '\n', 'subject=CN = a.test\n', '  Bag Attributes: <none>\n\n', '--- dashes ---\n');

const one = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';

describe('splitting PEM', () => {
  test('undoes joining, whatever stands between the blocks and however lines end', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(between, block)),
        between,
        fc.constantFrom('\n', '\r\n', ' \n'),
        (parts, tail, newline) => {
          const text = parts.map(([before, { pem }]) => before + pem).join('') + tail;
          assert.deepEqual(parsePem(text.replaceAll('\n', newline)), {
            blocks: parts.map(([, one]) => one),
            unfinished: [],
          });
        },
      ),
    );
  });

  test('tells of the block that was cut short, wherever that happened, and keeps those before it', () => {
    const begin = '-----BEGIN CERTIFICATE-----';
    fc.assert(
      fc.property(fc.array(block), fc.integer({ min: begin.length, max: one.length - 2 }), (ahead, at) => {
        const { blocks, unfinished } = parsePem(ahead.map(({ pem }) => pem).join('') + one.slice(0, at));
        assert.deepEqual(blocks, ahead);
        assert.deepEqual(unfinished, ['CERTIFICATE']);
      }),
    );
  });

  for (const [what, text, labelsFound, unfinished] of [
    ['nothing', '', [], []],
    ['no PEM', '\u0000\u0001binary', [], []],
    ['no line feed at the end', one.trimEnd(), ['CERTIFICATE'], []],
    ['a block within a block', `-----BEGIN PRIVATE KEY-----\nAAAA\n${one}`, ['CERTIFICATE'], ['PRIVATE KEY']],
    ['an end of another kind', one.replace('END CERT', 'END X509 CERT'), [], ['CERTIFICATE']],
    ['an end without a beginning', `-----END CERTIFICATE-----\n${one}`, ['CERTIFICATE'], []],
  ] as const) {
    test(`of ${what}`, () => {
      const parsed = parsePem(text);
      assert.deepEqual(
        parsed.blocks.map(({ label }) => label),
        labelsFound,
      );
      assert.deepEqual(parsed.unfinished, unfinished);
    });
  }

  test('knows certificates and keys by their labels', () => {
    const kinds = labels.map((label) => (isCertificateLabel(label) ? 'certificate' : isKeyLabel(label) ? 'key' : ''));
    assert.deepEqual(kinds, ['certificate', 'certificate', 'key', 'key', '', '']);
    assert.ok(isKeyLabel('ENCRYPTED PRIVATE KEY'));
    assert.ok(!isKeyLabel('PUBLIC KEY'));
    assert.ok(!isCertificateLabel('CERTIFICATE REQUEST'));
  });
});

describe('leaving keys out', () => {
  const key = one.replaceAll('CERTIFICATE', 'EC PRIVATE KEY').replace('AAAA', 'SECRET');
  for (const [what, text, left] of [
    ['of one before', key + one, `\n${one}`],
    ['of one after', one + key, `${one}\n`],
    ['of one that is cut short', one + key.slice(0, -30), one],
    ['of one that is cut short before others', key.slice(0, -30) + one, one],
    ['of certificates alone', one + one, one + one],
  ] as const) {
    test(what, () => assert.equal(withoutKeys(text), left));
  }
});
