import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../test/support/files.ts';
import { shownTo } from './support/clients.ts';
import { serviceOf, startModestLoad } from './support/modest-load.ts';
import { bounded, startSwivel } from './support/swivel.ts';
import { until } from './support/until.ts';

test(
  'a development certificate is issued again before it expires, and no client sees an expired one',
  bounded,
  async (t) => {
    const path = join(await temporaryDirectory(t), 'certs');
    const upstream = await serviceOf(t);
    const swivel = await startSwivel(t, {
      upstream: upstream.url,
      config: {
        certificates: [{ path, development: { names: ['localhost'], lifetime: '10s' } }],
        drain: { spread: '0s' },
      },
    });
    const ca = await readFile(join(path, 'ca.crt'), 'utf8');
    const { notAfter, fingerprint256: first } = (await swivel.status()).certificates[0] ?? {};
    const expires = Date.parse(String(notAfter));
    const load = await startModestLoad(t, swivel, 'localhost', ca);
    const log = swivel.process.follow();
    const line = await log(({ event }) => event === 'rotation');
    assert.equal(line['from'], first);
    const left = expires - Date.parse(String(line['at']));
    assert.ok(left > 0, `${left} ms were left of the one before`);
    // The load goes on until that one would be of no use.
    await until('the first one has expired', () => Date.now() > expires + 500);
    assert.equal(await shownTo({ port: swivel.port, ca }, 'localhost'), line['to']);
    assert.equal(swivel.process.lines.filter(({ event }) => event === 'development-certificate').length, 2);
    assert.equal(await readFile(join(path, 'ca.crt'), 'utf8'), ca, 'clients go on to trust the same authority');
    assert.equal((await swivel.status()).certificates[0]?.state, 'serving');
    assert.equal((await swivel.ready()).status, 200);
    await load.unharmed();
  },
);
