import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { createSecureContext } from 'node:tls';
import { Effort } from '../../../src/certificates/pkcs12/derive.ts';
import { openKeystore } from '../../../src/certificates/pkcs12/open.ts';
import {
  damagedPart,
  makeKeystore,
  partsOf,
  type SealOptions,
  sealParts,
  unknownPart,
  withMacIterations,
} from '../../support/keystores.ts';
import { type Authority, createAuthority, type KeyType, type Leaf, selfSigned } from '../../support/pki.ts';
import { javaKeystore } from './java-keystore.ts';

const passphrase = 'correct horse';
let root: Authority;
let authority: Authority;
let leaf: Leaf;

before(async () => {
  root = await createAuthority();
  authority = await root.intermediate();
  leaf = await authority.issue({ names: ['a.test'] });
});

const pemOf = ({ keyPem, chainPem }: Leaf) => keyPem + chainPem;
/** Of openssl's arguments the last counts: -iter brings back a MAC that -nomac before it took away. */
const fast = ['-iter', '1'];

/** A keystore that takes next to no time to open. */
const quick = (pem = pemOf(leaf), secret = passphrase) => makeKeystore(pem, { passphrase: secret, args: fast });

/** The one key of a keystore that can be used. */
function only(bytes: Uint8Array, secret: string | null) {
  const opened = openKeystore(bytes, secret);
  assert.ok('keys' in opened, JSON.stringify(opened));
  assert.equal(opened.keys.length, 1);
  const [key] = opened.keys;
  assert.ok(key && 'keyPem' in key);
  return key;
}

function assertHolds(bytes: Uint8Array, secret: string | null, expected = leaf): void {
  const { certificatePem, keyPem } = only(bytes, secret);
  assert.equal(certificatePem, expected.chainPem);
  assert.equal(keyPem, expected.keyPem);
}

/** Why a keystore, or the one key in it, cannot be used. */
function faultOf(bytes: Uint8Array, secret: string | null) {
  const opened = openKeystore(bytes, secret);
  if ('fault' in opened) return opened.fault;
  const [key] = opened.keys;
  return key && 'fault' in key && opened.keys.length === 1 ? key.fault : assert.fail('it was opened');
}

const codeOf = (bytes: Uint8Array, secret: string | null) => faultOf(bytes, secret).code;

describe('opens what is written', () => {
  for (const keyType of ['ec-p256', 'ec-p384', 'rsa-2048', 'ed25519'] as const satisfies KeyType[]) {
    for (const [how, args] of [
      ['as OpenSSL 3 does', []],
      ['in the legacy way (RC2-40, triple DES, SHA-1)', ['-legacy']],
    ] as const) {
      test(`${keyType}, ${how}`, async () => {
        const one = await authority.issue({ names: ['a.test'], keyType });
        assertHolds(await makeKeystore(pemOf(one), { passphrase, args }), passphrase, one);
      });
    }
  }

  for (const args of [
    '-keypbe AES-128-CBC -certpbe AES-192-CBC',
    '-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES',
    '-keypbe PBE-SHA1-2DES -certpbe PBE-SHA1-2DES',
    '-legacy -keypbe PBE-SHA1-RC2-128 -certpbe PBE-SHA1-RC2-128',
    '-keypbe DES-EDE3-CBC -certpbe NONE',
    '-keypbe NONE -certpbe NONE',
    '-nomac',
    '-nomaciter -noiter',
    '-macalg sha1',
    '-macalg sha384',
    '-macalg sha512',
    '-iter 40000',
  ]) {
    test(`with openssl ${args}`, async () => {
      assertHolds(await makeKeystore(pemOf(leaf), { passphrase, args: args.split(' ') }), passphrase);
    });
  }

  test('by Java: several keys, each with its own certificates, beside secrets and trusted certificates', () => {
    const opened = openKeystore(javaKeystore, 'changeit');
    assert.ok('keys' in opened);
    const found = opened.keys.map((key) => {
      assert.ok('keyPem' in key);
      const certificates = key.certificatePem.match(/BEGIN CERTIFICATE/g);
      const certificate = new X509Certificate(key.certificatePem);
      assert.ok(certificate.checkPrivateKey(createPrivateKey(key.keyPem)));
      return [key.alias, certificate.subject, certificates?.length];
    });
    assert.deepEqual(found, [
      ['web', 'CN=web.test', 1],
      ['api', 'CN=api.test', 1],
    ]);
  });

  for (const secret of ['pässwörd', '密碼🔑', ' with spaces ', 'x'.repeat(300)]) {
    for (const args of [['-iter', '1'], ['-legacy']]) {
      test(`under the passphrase ${secret.slice(0, 20)} (${args.join(' ')})`, async () => {
        assertHolds(await makeKeystore(pemOf(leaf), { passphrase: secret, args }), secret);
      });
    }
  }

  const seals: Readonly<Record<string, SealOptions>> = {
    'with a MAC of RFC 9579': { pbmac1: true },
    'in pieces, as BER allows': { pieces: true },
  };
  for (const [how, options] of Object.entries(seals)) {
    test(`${how}, as OpenSSL reads it too`, async () => {
      const bytes = sealParts(partsOf(await quick()), passphrase, options);
      createSecureContext({ pfx: bytes, passphrase });
      assertHolds(bytes, passphrase);
      assert.equal(codeOf(bytes, 'another'), 'KEY_PASSPHRASE_WRONG');
    });
  }
});

describe('the certificates of a key', () => {
  test('are its chain, put in order, with the root and without strangers', async () => {
    const [, ...upper] = leaf.chainPem.split(/(?<=-----END CERTIFICATE-----\n)/);
    const stranger = (await selfSigned()).certificatePem;
    const pem = [leaf.keyPem, stranger, root.certificatePem, ...upper, leaf.certificatePem].join('');
    const { certificatePem } = only(await quick(pem), passphrase);
    assert.equal(certificatePem, leaf.chainPem + root.certificatePem);
  });

  test('are all of them when none is its own, for validation to say so', async () => {
    const [certificates] = partsOf(await quick());
    const [, key] = partsOf(await quick(pemOf(await selfSigned())));
    assert.ok(certificates && key);
    const { certificatePem } = only(sealParts([certificates, key], passphrase), passphrase);
    assert.equal(certificatePem, leaf.chainPem);
  });

  test('are missing: that is said of the key', async () => {
    const bytes = await makeKeystore(leaf.keyPem, { passphrase, args: ['-nocerts', ...fast] });
    assert.equal(codeOf(bytes, passphrase), 'CERT_MISSING');
  });
});

test('a keystore without a private key is empty', async () => {
  const bytes = await makeKeystore(leaf.chainPem, { passphrase, args: ['-nokeys', ...fast] });
  assert.equal(codeOf(bytes, passphrase), 'KEYSTORE_EMPTY');
});

test('a key under a passphrase of its own does not affect another one', async () => {
  const parts = [...partsOf(await quick()), ...partsOf(await quick(pemOf(leaf), 'another')).slice(1)];
  const opened = openKeystore(sealParts(parts, passphrase), passphrase);
  assert.ok('keys' in opened);
  assert.deepEqual(
    opened.keys.map((key) => ('fault' in key ? key.fault.code : key.certificatePem)),
    [leaf.chainPem, 'KEY_PASSPHRASE_WRONG'],
  );
});

test('bags of an unknown kind are passed over', async () => {
  assertHolds(sealParts([...partsOf(await quick()), unknownPart()], passphrase), passphrase);
});

describe('the passphrase', () => {
  for (const args of [fast, ['-legacy'], [...fast, '-nomac']]) {
    test(`wrong, empty or missing (${args.join(' ')})`, async () => {
      const bytes = await makeKeystore(pemOf(leaf), { passphrase, args });
      assert.equal(codeOf(bytes, 'another'), 'KEY_PASSPHRASE_WRONG');
      assert.equal(codeOf(bytes, ''), 'KEY_PASSPHRASE_WRONG');
      assert.equal(codeOf(bytes, null), 'KEY_PASSPHRASE_MISSING');
    });

    test(`may be empty, and be given as empty or not at all (${args.join(' ')})`, async () => {
      const bytes = await makeKeystore(pemOf(leaf), { args });
      assertHolds(bytes, '');
      assertHolds(bytes, null);
      assert.equal(codeOf(bytes, 'another'), 'KEY_PASSPHRASE_WRONG');
    });
  }

  test('of a keystore that protects nothing but its key is judged by that key', async () => {
    const args = [...fast, '-nomac', '-certpbe', 'NONE'];
    const bytes = await makeKeystore(pemOf(leaf), { passphrase, args });
    assertHolds(bytes, passphrase);
    assert.equal(codeOf(bytes, 'another'), 'KEY_PASSPHRASE_WRONG');
    assert.equal(codeOf(bytes, ''), 'KEY_PASSPHRASE_WRONG');
    assert.equal(codeOf(bytes, null), 'KEY_PASSPHRASE_MISSING');
    assertHolds(await makeKeystore(pemOf(leaf), { args }), null);
  });

  test('that is right is not blamed for damage where there is no MAC', async () => {
    const args = [...fast, '-nomac', '-certpbe', 'AES-256-CBC'];
    const bytes = await makeKeystore(pemOf(leaf), { passphrase, args });
    assert.equal(codeOf(damagedPart(bytes, 0, 1), passphrase), 'KEYSTORE_UNREADABLE');
    assert.equal(codeOf(damagedPart(bytes, 0, 1), 'another'), 'KEY_PASSPHRASE_WRONG');
  });

  test('may be none at all, which the MAC tells from an empty one', async () => {
    const parts = partsOf(await makeKeystore(pemOf(leaf), { args: ['-keypbe', 'NONE', '-certpbe', 'NONE'] }));
    assertHolds(sealParts(parts, null), null);
    assertHolds(sealParts(parts, null), '');
  });

  test('shows in nothing that is said', async () => {
    const bytes = await quick();
    for (const secret of ['another secret', null]) {
      assert.ok(!JSON.stringify(openKeystore(bytes, secret)).includes('another secret'));
    }
  });
});

describe('a keystore that is not whole is never opened', () => {
  test('cut off anywhere', async () => {
    for (const bytes of [await quick(), await makeKeystore(pemOf(leaf), { passphrase, args: [...fast, '-nomac'] })]) {
      for (let length = 0; length < bytes.length; length += 1) {
        assert.equal(codeOf(bytes.subarray(0, length), passphrase), 'KEYSTORE_UNREADABLE', `${length} bytes`);
      }
    }
  });

  test('half of another one in its place', async () => {
    const [old, fresh] = [await quick(), await quick(pemOf(await authority.issue({ names: ['a.test'] })))];
    for (let length = 1; length < fresh.length; length += 1) {
      const mixed = Buffer.concat([fresh.subarray(0, length), old.subarray(length)]);
      if (mixed.equals(old) || mixed.equals(fresh)) continue;
      assert.match(codeOf(mixed, passphrase), /^KEYSTORE_UNREADABLE$|^KEY_PASSPHRASE_WRONG$/, `${length} bytes`);
    }
  });

  test('any byte changed: another key never comes out, and a right passphrase is not blamed for changed content', async () => {
    const bytes = await quick();
    const whole = JSON.stringify(openKeystore(bytes, passphrase));
    let damaged = 0;
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(at) ^ 0x55, at);
      const opened = openKeystore(changed, passphrase);
      if (!('fault' in opened)) assert.equal(JSON.stringify(opened), whole, `byte ${at}`);
      else if (opened.fault.code === 'KEYSTORE_UNREADABLE') damaged += 1;
      else assert.fail(`byte ${at}: ${opened.fault.code}`);
    }
    assert.ok(damaged > bytes.length * 0.95);
  });
});

describe('what is no keystore is called what it is', () => {
  const cases: Readonly<Record<string, [() => Buffer | string, RegExp]>> = {
    'an empty file': [() => '', /^is empty$/],
    text: [() => 'to whom it may concern', /not PKCS#12/],
    'one byte': [() => '0', /damaged|cut short/],
    PEM: [() => leaf.chainPem, /is PEM/],
    'a certificate in DER': [() => leaf.x509.raw, /damaged/],
    "Java's old format": [() => Buffer.from('feedfeed00000002', 'hex'), /JKS.*keytool/],
    'nested without end': [() => Buffer.from('3080'.repeat(100_000), 'hex'), /damaged/],
  };
  for (const [what, [bytes, message]] of Object.entries(cases)) {
    test(what, () => {
      const fault = faultOf(Buffer.from(bytes()), passphrase);
      assert.equal(fault.code, 'KEYSTORE_UNREADABLE');
      assert.match(fault.message, message);
    });
  }
});

describe('a keystore that asks for absurd work is refused before it is done', () => {
  for (const [what, der, message] of [
    ['2^31 iterations', [0x00, 0x80, 0, 0, 0], /more than 10000000 iterations/],
    ['2^127 iterations', [0x7f, ...Array.from({ length: 15 }, () => 0xff)], /more than 10000000 iterations/],
    ['none', [0], /no iterations/],
    ['less than none', [0xff], /damaged/],
  ] as const) {
    test(what, { timeout: 5000 }, async () => {
      const fault = faultOf(withMacIterations(await quick(), der), passphrase);
      assert.equal(fault.code, 'KEYSTORE_UNREADABLE');
      assert.match(fault.message, message);
    });
  }

  test('of many parts together, each of which would do', () => {
    const effort = new Effort();
    effort.spend(6_000_000);
    assert.throws(() => effort.spend(6_000_000), /more than 10000000 iterations/);
  });
});

test('a protection that is not known is named', async () => {
  const bytes = await makeKeystore(pemOf(leaf), { passphrase, args: ['-keypbe', 'camellia-256-cbc', ...fast] });
  const fault = faultOf(bytes, passphrase);
  assert.equal(fault.code, 'KEYSTORE_UNREADABLE');
  assert.match(fault.message, /cipher that is not known \(1\.2\.392/);
});
