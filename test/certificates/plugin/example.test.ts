import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PluginSource, validate } from '../../../src/certificates/index.ts';
import { temporaryDirectory } from '../../support/files.ts';
import { selfSigned } from '../../support/pki.ts';

test('the example plug-in serves what an endpoint gives', async (t) => {
  const leaf = await selfSigned({ names: ['shop.test'] });
  const server = createServer((request, response) => {
    response.statusCode = request.headers.authorization === 'Bearer t0ken' ? 200 : 403;
    response.end(JSON.stringify({ certificates: [{ name: 'shop', chain: leaf.chainPem, key: leaf.keyPem }] }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const tokenFile = join(await temporaryDirectory(t), 'token');
  await writeFile(tokenFile, 'wrong');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const source = new PluginSource({
    module: fileURLToPath(new URL('../../../config/plugin-source.example.mjs', import.meta.url)),
    options: { url, tokenFile },
  });
  t.after(() => source.close());
  assert.match((await source.load()).findings[0]?.message ?? '', /answered 403$/);
  await writeFile(tokenFile, 't0ken\n');
  const { identities, findings, askAgainAt = 0 } = await source.load();
  assert.deepEqual(findings, []);
  assert.ok(askAgainAt > Date.now());
  const [identity] = identities;
  assert.ok(identity);
  assert.equal(identity.id, 'shop');
  assert.equal(identity.keyPem.reveal(), leaf.keyPem);
  assert.ok(validate(identity).findings.every(({ code }) => code !== 'KEY_MISMATCH'));
});
