import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, test } from 'node:test';
import { inspect } from 'node:util';
import { Secret, validate } from '../../../src/certificates/index.ts';
import { type Keystore, KeystoreReader } from '../../../src/certificates/pkcs12/index.ts';
import { makeKeystore, partsOf, sealParts, withMacIterations } from '../../support/keystores.ts';
import { createAuthority, type Leaf } from '../../support/pki.ts';
import { javaKeystore } from './java-keystore.ts';

const passphrase = 'correct horse';
let leaf: Leaf;
let bytes: Buffer;

before(async () => {
  leaf = await (await createAuthority()).issue({ names: ['a.test'] });
  bytes = await quick();
});

const quick = (name?: string, secret = passphrase) =>
  makeKeystore(leaf.keyPem + leaf.chainPem, {
    passphrase: secret,
    args: ['-iter', '1'],
    ...(name === undefined ? {} : { name }),
  });

function keystore(content: Buffer, secret?: string, id = 'shop'): Keystore {
  const digest = createHash('sha256').update(content).digest('hex');
  return {
    id,
    source: '/certs',
    content: { path: `/certs/${id}.p12`, bytes: content, digest },
    ...(secret === undefined ? {} : { passphrase: new Secret(secret) }),
  };
}

/** Whether something was opened, rather than remembered: only then the answer does not come in this turn of the event loop. */
async function opens(reader: KeystoreReader, ...keystores: Keystore[]): Promise<boolean> {
  let answered = false;
  const opening = reader.open(keystores).then(() => {
    answered = true;
  });
  for (let i = 0; i < 100; i += 1) await null;
  const remembered = answered;
  await opening;
  return !remembered;
}

const codes = ({ findings }: { findings: readonly { code: string; identity?: string }[] }) =>
  findings.map(({ code, identity }) => `${code} ${identity}`);

test('gives an identity of the id of the keystore, that validates', async () => {
  const { identities, findings } = await new KeystoreReader().open([keystore(bytes, passphrase)]);
  assert.deepEqual(findings, []);
  const [one] = identities;
  assert.ok(one);
  assert.equal(one.id, 'shop');
  assert.equal(one.source, '/certs');
  assert.deepEqual(one.files, { certificate: '/certs/shop.p12', key: '/certs/shop.p12' });
  const validation = validate(one);
  assert.deepEqual(validation.findings, []);
  assert.equal(validation.identity?.chainPem, leaf.chainPem);
  assert.equal(validation.identity?.keyPem.reveal(), leaf.keyPem);
});

test('several keys are an identity each, by their alias', async () => {
  const { identities, findings } = await new KeystoreReader().open([keystore(javaKeystore, 'changeit')]);
  assert.deepEqual(findings, []);
  assert.deepEqual(
    identities.map((one) => [one.id, validate(one).identity?.names]),
    [
      ['shop/web', ['web.test']],
      ['shop/api', ['api.test']],
    ],
  );
});

test('one key of several that cannot be used is its own matter', async () => {
  const parts = [...partsOf(await quick('web')), ...partsOf(await quick('api', 'another')).slice(1)];
  const opened = await new KeystoreReader().open([keystore(sealParts(parts, passphrase), passphrase)]);
  assert.deepEqual(
    opened.identities.map(({ id }) => id),
    ['shop/web'],
  );
  assert.deepEqual(codes(opened), ['KEY_PASSPHRASE_WRONG shop/api']);
});

test('one broken keystore is no matter of the others', async () => {
  const opened = await new KeystoreReader().open([
    keystore(bytes.subarray(0, 200), passphrase, 'a'),
    keystore(bytes, passphrase, 'b'),
    keystore(bytes, 'another', 'c'),
    keystore(bytes, undefined, 'd'),
  ]);
  assert.deepEqual(
    opened.identities.map(({ id }) => id),
    ['b'],
  );
  assert.deepEqual(codes(opened), ['KEYSTORE_UNREADABLE a', 'KEY_PASSPHRASE_WRONG c', 'KEY_PASSPHRASE_MISSING d']);
  for (const { message, file, severity, identity } of opened.findings) {
    assert.equal(severity, 'error');
    assert.equal(file, `/certs/${identity}.p12`);
    assert.ok(message.startsWith(`/certs/${identity}.p12 `), message);
  }
});

test('an unchanged keystore is opened once, whether it could be or not', async () => {
  const reader = new KeystoreReader();
  for (const one of [keystore(bytes, passphrase), keystore(bytes, 'wrong'), keystore(bytes)]) {
    assert.equal(await opens(reader, one), true);
    assert.equal(await opens(reader, one), false);
  }
});

test('a new passphrase opens an unchanged keystore again, and what is no longer there is forgotten', async () => {
  const reader = new KeystoreReader();
  assert.equal(await opens(reader, keystore(bytes, 'wrong')), true);
  const { identities } = await reader.open([keystore(bytes, passphrase)]);
  assert.equal(identities.length, 1);
  assert.equal(await opens(reader, keystore(bytes, passphrase)), false);
  await reader.open([]);
  assert.equal(await opens(reader, keystore(bytes, passphrase)), true);
});

test('one that takes too long is a finding, and not tried again at once', async () => {
  const reader = new KeystoreReader(200);
  const stuck = keystore(withMacIterations(bytes, [0x00, 0x90, 0x00, 0x00]), passphrase);
  const opened = await reader.open([stuck]);
  assert.deepEqual(codes(opened), ['KEYSTORE_UNREADABLE shop']);
  assert.match(opened.findings[0]?.message ?? '', /shop\.p12 was not opened within 200 ms/);
  assert.equal(await opens(reader, stuck), false);
});

test('shows no key and no passphrase', async () => {
  const reader = new KeystoreReader();
  const material = await reader.open([keystore(bytes, passphrase), keystore(bytes, 'not the passphrase', 'b')]);
  const shown = inspect([material, reader], { depth: null, showHidden: true }) + JSON.stringify(material);
  for (const secret of [leaf.keyPem.split('\n')[1] ?? '', passphrase, 'not the passphrase']) {
    assert.ok(!shown.includes(secret));
  }
});
