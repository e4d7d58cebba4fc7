import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/index.ts';
import { SwivelError } from '../../src/errors.ts';
import { temporaryDirectory } from '../support/files.ts';
import { createAuthority } from '../support/pki.ts';

const secret = 'correct-horse-battery-staple';

test('what somebody put into the file by mistake is not quoted', async (t) => {
  const path = join(await temporaryDirectory(t), 'swivel.yaml');
  const { keyPem } = await (await createAuthority()).issue();
  const certificates = [{ path: '/certs' }];
  const upstreams = { a: { targets: ['http://127.0.0.1:8080'] } };
  const contents: Record<string, object | string> = {
    'a key for the path of one': { upstreams, certificates: [{ cert: 'a.crt', key: keyPem, passphrase: secret }] },
    'a passphrase for the path of its file': {
      upstreams,
      certificates: [{ cert: 'a.crt', key: 'a.key', passphraseFile: { text: secret } }],
    },
    'a token for the path of its file': { upstreams, certificates, admin: { token: secret } },
    'a token in a list': { upstreams, certificates, admin: { tokenFile: [secret] } },
    'a password in a URL': { upstreams: { a: { targets: [`http://user:${secret}@127.0.0.1`] } }, certificates },
    'a quote that does not end': `certificates:\n  - path: /certs\n    passphrase: "${secret}\n`,
    'a key that ends in the wrong place': `certificates: [{ cert: a, key: |\n${keyPem}}]\n`,
    'an alias that has no anchor': `admin: { tokenFile: *${secret} }\n`,
    'a value twice': `admin: { tokenFile: &a ${secret}, tokenFile: *b }\n`,
    'a key file': keyPem,
    'a passphrase file': `${secret}\n`,
  };
  const body = keyPem.split('\n').slice(1, -2);
  for (const [what, content] of Object.entries(contents)) {
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content, null, 2));
    const error = await loadConfig(path, {}).then(
      () => assert.fail(`accepted: ${what}`),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof SwivelError, `${what}: ${error}`);
    for (const text of [secret, ...body]) assert.ok(!error.line.includes(text), `${what}: ${error.line}`);
  }
});
