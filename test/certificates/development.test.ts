import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkServerIdentity, connect, createServer } from 'node:tls';
import { issueDevelopmentCertificate, PemDirectorySource, validate } from '../../src/certificates/index.ts';
import { temporaryDirectory } from '../support/files.ts';

async function identitiesIn(directory: string) {
  const { identities, findings } = await new PemDirectorySource(directory).load({ thorough: false });
  assert.deepEqual(findings, []);
  return identities.map((one) => {
    const validation = validate(one);
    assert.deepEqual(validation.findings, []);
    assert.ok(validation.identity);
    return validation.identity;
  });
}

const names = ['localhost', '*.dev.test', '127.0.0.1', '::1'];

test('a development certificate is found, the authority is not taken for one, and keys are for the owner', async (t) => {
  const directory = join(await temporaryDirectory(t), 'made', 'on', 'demand');
  const issued = await issueDevelopmentCertificate(directory, names);
  const [identity, ...others] = await identitiesIn(directory);
  assert.ok(identity);
  assert.deepEqual(others, []);
  assert.equal(identity.id, 'tls');
  assert.deepEqual(identity.names, ['localhost', '*.dev.test']);
  assert.equal(identity.leaf.keyType, 'rsa-2048');
  assert.deepEqual(issued.names, names);
  assert.equal(Math.floor(issued.notAfter.getTime() / 1000) * 1000, identity.leaf.notAfter);
  const modes = await Promise.all(
    ['tls.key', '.ca.key'].map(async (name) => (await stat(join(directory, name))).mode & 0o777),
  );
  assert.deepEqual(modes, [0o600, 0o600]);
  assert.deepEqual((await readdir(directory)).sort(), ['.ca.key', 'ca.crt', 'tls.crt', 'tls.key']);
});

test('a client that knows the authority accepts it for each of its names, and for no other', async (t) => {
  const directory = await temporaryDirectory(t);
  const { authorityFile, certificateFile, keyFile } = await issueDevelopmentCertificate(directory, names);
  const [ca, cert, key] = await Promise.all([authorityFile, certificateFile, keyFile].map((path) => readFile(path)));
  const server = createServer({ cert, key }, (socket) => socket.on('error', () => {}).end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const attempt = async (host: string) => {
    const servername = /^[\d.]+$|:/.test(host) ? '' : host;
    const socket = connect({
      ...{ port, host: '127.0.0.1', servername, ...(ca ? { ca } : {}) },
      checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate),
    });
    t.after(() => socket.destroy());
    await once(socket, 'secureConnect');
    return socket.authorized;
  };
  for (const host of ['localhost', 'a.dev.test', '127.0.0.1', '::1']) assert.equal(await attempt(host), true, host);
  await assert.rejects(attempt('dev.test'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
});

test('a second one is another leaf of the same authority', async (t) => {
  const directory = await temporaryDirectory(t);
  const read = async () => ({
    ca: await readFile(join(directory, 'ca.crt'), 'latin1'),
    leaf: new X509Certificate(await readFile(join(directory, 'tls.crt'))),
    key: await readFile(join(directory, 'tls.key'), 'latin1'),
  });
  await issueDevelopmentCertificate(directory, ['a.test']);
  const first = await read();
  await issueDevelopmentCertificate(directory, ['b.test']);
  const second = await read();
  assert.equal(second.ca, first.ca);
  assert.notEqual(second.key, first.key);
  assert.notEqual(second.leaf.serialNumber, first.leaf.serialNumber);
  assert.ok(second.leaf.verify(new X509Certificate(second.ca).publicKey));
  assert.deepEqual(
    (await identitiesIn(directory)).map((one) => one.names),
    [['b.test']],
  );
});

for (const [what, spoil] of [
  ['lost its key', (directory: string) => rm(join(directory, '.ca.key'))],
  ['is damaged', (directory: string) => writeFile(join(directory, 'ca.crt'), 'nothing')],
] as const) {
  test(`an authority that ${what} is made anew`, async (t) => {
    const directory = await temporaryDirectory(t);
    await issueDevelopmentCertificate(directory, ['a.test']);
    await spoil(directory);
    await issueDevelopmentCertificate(directory, ['a.test']);
    const [ca, leaf] = await Promise.all(
      ['ca.crt', 'tls.crt'].map(async (name) => new X509Certificate(await readFile(join(directory, name)))),
    );
    assert.ok(ca && leaf?.verify(ca.publicKey));
  });
}
