import assert from 'node:assert/strict';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { temporaryDirectory, writePair } from '../test/support/files.ts';
import { startUpstream } from '../test/support/load/upstream.ts';
import { createIssuer } from './support/renewals.ts';
import { bounded, startSwivel } from './support/swivel.ts';
import { chainOf, Visitor } from './support/visit.ts';

/** Longer than any settling, shorter than the patience with a chain that has become shorter. */
const stall = 150;

/** What a writer does before it writes the certificate, piece by piece. */
const ways: Record<string, (directory: string) => Promise<unknown>> = {
  'in place': async () => {},
  'after renaming the old file': (directory) => rename(join(directory, 'site.crt'), join(directory, 'site.crt~')),
  'after deleting the old file': (directory) => rm(join(directory, 'site.crt')),
  'into a directory made anew': async (directory) => {
    await rm(directory, { recursive: true });
    await mkdir(directory);
  },
};

for (const [way, begin] of Object.entries(ways)) {
  test(`a leaf is not served without its intermediates when they are written late, ${way}`, bounded, async (t) => {
    const issuer = await createIssuer();
    const directory = join(await temporaryDirectory(t), 'certs');
    await mkdir(directory);
    const [old, next] = [
      await issuer.intermediate.issue({ names: ['site.test'] }),
      await issuer.intermediate.issue({ names: ['site.test'] }),
    ];
    await writePair(directory, 'site', old);
    const upstream = await startUpstream();
    t.after(() => upstream.close());
    const swivel = await startSwivel(t, {
      certs: directory,
      upstream: upstream.url,
      config: { watch: { resync: '1h' } },
    });
    await begin(directory);
    for (const [name, parts] of Object.entries({
      'site.key': [next.keyPem],
      'site.crt': [next.certificatePem, next.chainPem.slice(next.certificatePem.length)],
    })) {
      const file = await open(join(directory, name), 'w');
      for (const [i, part] of parts.entries()) {
        // The time that the writer takes is what is tested.
        if (i > 0) await pause(stall);
        await file.write(part);
      }
      await file.close();
    }
    const isRotation = ({ event, to }: { event?: string; to?: unknown }) =>
      event === 'rotation' && to === next.fingerprint256;
    await swivel.process.line(isRotation);
    const visitor = new Visitor(swivel.port, issuer.root.certificatePem);
    assert.equal(await visitor.visit('site.test'), chainOf(next.chainPem));
    assert.equal(swivel.process.lines.filter(isRotation).length, 1, 'the first chain that was served is the whole one');
  });
}
