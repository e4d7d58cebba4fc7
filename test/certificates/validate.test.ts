import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { createSecureContext } from 'node:tls';
import { inspect } from 'node:util';
import type { Validation } from '../../src/certificates/index.ts';
import { validate } from '../../src/certificates/index.ts';
import { type Authority, createAuthority, type Leaf, type LeafOptions, selfSigned } from '../support/pki.ts';
import { codesOf, damaged, material, truncated, validateLeaf } from './support/material.ts';

let root: Authority;
let intermediate: Authority;
let leaf: Leaf;
let other: Leaf;

before(async () => {
  root = await createAuthority();
  intermediate = await root.intermediate();
  leaf = await intermediate.issue({ names: ['a.test'] });
  other = await intermediate.issue({ names: ['a.test'] });
});

const issue = async (options: LeafOptions) => validateLeaf(await intermediate.issue(options));

describe('what can be served is found to be right', () => {
  for (const keyType of ['rsa-2048', 'ec-p256', 'ec-p384', 'ed25519'] as const) {
    test(`${keyType}, its key in PKCS#8, in the older form, and under a passphrase`, async () => {
      const issued = await intermediate.issue({ keyType, names: ['A.test', '*.b.test'], serial: '0abc' });
      const passphrase = 'correct horse';
      const forms = [
        { keyPem: issued.keyPem },
        { keyPem: issued.keyPemTraditional },
        { keyPem: issued.keyPem, passphrase },
        { keyPem: issued.encryptedKeyPem(passphrase), passphrase },
        { keyPem: issued.encryptedKeyPem(passphrase, 'traditional'), passphrase },
      ];
      for (const form of forms) {
        const { identity, findings } = validateLeaf(issued, form);
        assert.deepEqual(findings, []);
        assert.ok(identity);
        assert.deepEqual(identity.names, ['a.test', '*.b.test']);
        assert.equal(identity.id, 'shop/tls');
        assert.equal(identity.source, '/certs');
        assert.equal(identity.chainPem, issued.chainPem);
        assert.equal(identity.keyPem.reveal(), issued.keyPem);
        createSecureContext({ cert: identity.chainPem, key: identity.keyPem.reveal() });
        const spki = issued.x509.publicKey.export({ type: 'spki', format: 'der' });
        assert.deepEqual(identity.leaf, {
          fingerprint256: issued.fingerprint256,
          serialNumber: '0abc',
          subject: 'CN=A.test',
          issuer: intermediate.subject,
          keyType,
          publicKey256: createHash('sha256').update(spki).digest('hex'),
          notBefore: Date.parse(issued.x509.validFrom),
          notAfter: Date.parse(issued.x509.validTo),
        });
      }
    });
  }

  for (const [what, options] of [
    ['without extended key usage', { eku: null }],
    ['for any use', { eku: ['2.5.29.37.0'] }],
    ['for servers and clients', { eku: ['clientAuth', 'serverAuth'] }],
    ['for an IP address only', { names: ['127.0.0.1'] }],
    ['expired: dates are judged elsewhere', { notBefore: new Date(0), notAfter: new Date(1000) }],
  ] as const) {
    test(`a certificate ${what}`, async () => assert.deepEqual((await issue(options)).findings, []));
  }

  test('signed by a root directly, with the root in the file: it is not sent', async () => {
    const issued = await root.issue();
    const { identity, findings } = validateLeaf(issued, {
      certificatePem: issued.certificatePem + root.certificatePem,
    });
    assert.deepEqual(findings, []);
    assert.equal(identity?.chainPem, issued.certificatePem);
  });

  test('key and certificates in one file, with CRLF and text between them', () => {
    const both = `# made by hand\n${leaf.keyPem}\nsubject=CN=a.test\n${leaf.chainPem}`.replaceAll('\n', '\r\n');
    const { identity, findings } = validateLeaf(leaf, { certificatePem: both, keyPem: both });
    assert.deepEqual(findings, []);
    assert.equal(identity?.chainPem, leaf.chainPem);
  });

  test('names given by the operator come first, as they are compared', () => {
    const { identity } = validateLeaf(leaf, { names: ['B.Test.', '*.c.test', 'not a name'] });
    assert.deepEqual(identity?.names, ['b.test', '*.c.test']);
  });
});

/** What is written, which codes it gives, and which of the two files they name. */
const faults: readonly (readonly [string, () => Validation | Promise<Validation>, readonly string[], 'crt' | 'key'])[] =
  [
    ['an empty certificate', () => validateLeaf(leaf, { certificatePem: '' }), ['CERT_NOT_PEM error'], 'crt'],
    [
      'DER',
      () => validateLeaf(leaf, { certificatePem: leaf.x509.raw.toString('latin1') }),
      ['CERT_NOT_PEM error'],
      'crt',
    ],
    ['PEM of something else', () => validateLeaf(leaf, { certificatePem: leaf.keyPem }), ['CERT_NOT_PEM error'], 'crt'],
    [
      'a truncated certificate',
      () => validateLeaf(leaf, { certificatePem: truncated(leaf.certificatePem) }),
      ['CERT_UNPARSABLE error'],
      'crt',
    ],
    [
      'a truncated intermediate',
      () => validateLeaf(leaf, { certificatePem: leaf.chainPem.slice(0, -40) }),
      ['CERT_UNPARSABLE error'],
      'crt',
    ],
    [
      'a damaged certificate',
      () => validateLeaf(leaf, { certificatePem: damaged(leaf.certificatePem) }),
      ['CERT_UNPARSABLE error'],
      'crt',
    ],
    [
      'a damaged intermediate',
      () => validateLeaf(leaf, { certificatePem: leaf.certificatePem + damaged(intermediate.certificatePem) }),
      ['CERT_UNPARSABLE error'],
      'crt',
    ],
    ['an empty key', () => validateLeaf(leaf, { keyPem: '' }), ['KEY_UNPARSABLE error'], 'key'],
    ['a truncated key', () => validateLeaf(leaf, { keyPem: truncated(leaf.keyPem) }), ['KEY_UNPARSABLE error'], 'key'],
    ['a damaged key', () => validateLeaf(leaf, { keyPem: damaged(leaf.keyPem) }), ['KEY_UNPARSABLE error'], 'key'],
    ['a public key', () => validateLeaf(leaf, { keyPem: leaf.chainPem }), ['KEY_UNPARSABLE error'], 'key'],
    ...(['pkcs8', 'traditional'] as const).flatMap(
      (format) =>
        [
          [
            `a passphrase that is missing (${format})`,
            () => validateLeaf(leaf, { keyPem: leaf.encryptedKeyPem('right', format) }),
            ['KEY_PASSPHRASE_MISSING error'],
            'key',
          ],
          [
            `a passphrase that is wrong (${format})`,
            () => validateLeaf(leaf, { keyPem: leaf.encryptedKeyPem('right', format), passphrase: 'wrong' }),
            ['KEY_PASSPHRASE_WRONG error'],
            'key',
          ],
          [
            `a passphrase that is empty (${format})`,
            () => validateLeaf(leaf, { keyPem: leaf.encryptedKeyPem('right', format), passphrase: '' }),
            ['KEY_PASSPHRASE_WRONG error'],
            'key',
          ],
        ] as const,
    ),
    ['the key of another', () => validateLeaf(leaf, { keyPem: other.keyPem }), ['KEY_MISMATCH error'], 'key'],
    [
      'the key of another type',
      async () => validateLeaf(leaf, { keyPem: (await intermediate.issue({ keyType: 'rsa-2048' })).keyPem }),
      ['KEY_MISMATCH error'],
      'key',
    ],
    ['RSA of 1024 bits', () => issue({ keyType: 'rsa-1024' }), ['KEY_WEAK error'], 'crt'],
    ['a leaf signed with SHA-1', () => issue({ hash: 'SHA-1' }), ['SIGNATURE_WEAK error'], 'crt'],
    [
      'a leaf signed with SHA-1 and RSA',
      async () => validateLeaf(await (await createAuthority({ keyType: 'rsa-2048' })).issue({ hash: 'SHA-1' })),
      ['SIGNATURE_WEAK error'],
      'crt',
    ],
    [
      'an intermediate signed with SHA-1',
      async () => validateLeaf(await (await root.intermediate({ hash: 'SHA-1' })).issue()),
      ['SIGNATURE_WEAK error'],
      'crt',
    ],
    ['a certificate for clients', () => issue({ eku: ['clientAuth'] }), ['CERT_WRONG_EKU error'], 'crt'],
    ['a certificate that says it is an authority', () => issue({ ca: true }), ['CERT_IS_CA warning'], 'crt'],
    [
      'a self-signed one, as openssl makes it',
      async () => validateLeaf(await selfSigned()),
      ['CERT_IS_CA warning'],
      'crt',
    ],
    ['a certificate without names', () => issue({ noSan: true }), ['CERT_NO_NAMES warning'], 'crt'],
    ['a name that cannot match', () => issue({ names: ['a.test', '*.*.test'] }), ['CERT_BAD_NAME warning'], 'crt'],
    [
      'no name that can match',
      () => issue({ names: ['*'] }),
      ['CERT_BAD_NAME warning', 'CERT_NO_NAMES warning'],
      'crt',
    ],
    [
      'the intermediate first',
      () => validateLeaf(leaf, { certificatePem: intermediate.certificatePem + leaf.certificatePem }),
      ['CERT_ORDER warning'],
      'crt',
    ],
    [
      'a stranger in the chain',
      () => validateLeaf(leaf, { certificatePem: leaf.chainPem + other.certificatePem }),
      ['CHAIN_BROKEN warning'],
      'crt',
    ],
    [
      'no intermediate',
      async () => {
        const issued = await intermediate.issue({ aiaCaIssuers: 'http://issuer.test/ca.der' });
        return validateLeaf(issued, { certificatePem: issued.certificatePem });
      },
      ['CHAIN_INCOMPLETE warning'],
      'crt',
    ],
    [
      'both files empty',
      () => validate(material({ certificatePem: '', keyPem: '' })),
      ['CERT_NOT_PEM error', 'KEY_UNPARSABLE error'],
      'crt',
    ],
  ];

describe('what is wrong is said with a code, the file, the identity and what to do', () => {
  for (const [what, make, codes, file] of faults) {
    test(`${what}: ${codes.join(', ')}`, async () => {
      const { identity, findings } = await make();
      assert.deepEqual(codesOf(findings), codes);
      assert.equal(
        identity === null,
        findings.some(({ severity }) => severity === 'error'),
      );
      assert.equal(findings[0]?.file, `/certs/shop/tls.${file}`);
      for (const finding of findings) {
        assert.equal(finding.identity, 'shop/tls');
        assert.ok(finding.remedy.length > 0 && finding.message.length > 0);
        assert.doesNotMatch(finding.message, /\n/);
      }
    });
  }

  test('a chain out of order is served in order, strangers left out', () => {
    const { identity } = validateLeaf(leaf, {
      certificatePem: other.certificatePem + intermediate.certificatePem + leaf.certificatePem,
    });
    assert.equal(identity?.chainPem, leaf.chainPem);
    assert.equal(identity.leaf.fingerprint256, leaf.fingerprint256);
  });

  test('several at once', async () => {
    const { findings } = await issue({ eku: ['clientAuth'], noSan: true, keyType: 'rsa-1024', hash: 'SHA-1' });
    const codes = findings.map(({ code }) => code).sort();
    assert.deepEqual(codes, ['CERT_NO_NAMES', 'CERT_WRONG_EKU', 'KEY_WEAK', 'SIGNATURE_WEAK']);
  });

  test('neither key nor passphrase shows in what is found, nor in what is served', () => {
    const passphrase = 'correct horse';
    const encrypted = leaf.encryptedKeyPem(passphrase);
    const keyLine = leaf.keyPem.split('\n')[1] ?? '';
    for (const parts of [
      { keyPem: truncated(leaf.keyPem) },
      { keyPem: damaged(leaf.keyPem) },
      { keyPem: encrypted, passphrase: `${passphrase} battery` },
      { keyPem: encrypted, passphrase },
      { keyPem: other.keyPem },
      {},
    ]) {
      const validation = validateLeaf(leaf, parts);
      const shown = inspect(validation, { depth: null, showHidden: true }) + JSON.stringify(validation);
      for (const secret of [keyLine, passphrase, encrypted.split('\n')[1] ?? '', other.keyPem.split('\n')[1] ?? '']) {
        assert.ok(!shown.includes(secret));
      }
    }
  });
});

describe('the fingerprint', () => {
  const fingerprint = (validation: Validation) => {
    assert.ok(validation.identity);
    return validation.identity.fingerprint;
  };

  test('is of the whole chain: it changes with an intermediate alone', async () => {
    const without = fingerprint(validateLeaf(leaf, { certificatePem: leaf.certificatePem }));
    const whole = fingerprint(validateLeaf(leaf));
    assert.match(whole, /^[0-9a-f]{64}$/);
    assert.notEqual(whole, without);
    assert.notEqual(whole, leaf.fingerprint256);
  });

  test('changes with the leaf, also when the key stays', async () => {
    const again = await intermediate.issue({ names: ['a.test'], sameKeyAs: leaf });
    assert.notEqual(fingerprint(validateLeaf(again)), fingerprint(validateLeaf(leaf)));
  });

  test('stays when the same is written differently: key encrypted anew, order, root, comments, CRLF', () => {
    const expected = fingerprint(validateLeaf(leaf));
    for (const parts of [
      { keyPem: leaf.encryptedKeyPem('one'), passphrase: 'one' },
      { keyPem: leaf.encryptedKeyPem('two'), passphrase: 'two' },
      { keyPem: leaf.keyPemTraditional },
      { certificatePem: intermediate.certificatePem + leaf.certificatePem },
      { certificatePem: leaf.chainPem + root.certificatePem },
      { certificatePem: `# renewed\r\n${leaf.chainPem.replaceAll('\n', '\r\n')}` },
    ]) {
      assert.equal(fingerprint(validateLeaf(leaf, parts)), expected);
    }
  });
});

test('a certificate that its issuer, which is there, has not signed is damaged: a new one written half over an old one', async () => {
  const sameLength = { names: ['a.test'], sameKeyAs: leaf };
  const [old, next] = [await intermediate.issue(sameLength), await intermediate.issue(sameLength)];
  // In what is signed: a serial number of the same length, further back than the start.
  const der = Buffer.from(old.x509.raw);
  next.x509.raw.copy(der, 0, 0, 40);
  const pem = `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`;
  const certificatePem = pem + intermediate.certificatePem;
  const { identity, findings } = validate(material({ certificatePem, keyPem: leaf.keyPem }));
  assert.equal(identity, null);
  assert.deepEqual(codesOf(findings), ['CERT_UNPARSABLE error']);
});
