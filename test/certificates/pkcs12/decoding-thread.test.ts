import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, test } from 'node:test';
import { promisify } from 'node:util';
import { DecodingThread } from '../../../src/certificates/pkcs12/decoding-thread.ts';
import { Secret } from '../../../src/certificates/secret.ts';
import { moduleOf } from '../../files/support/unprivileged.ts';
import { makeKeystore, withMacIterations } from '../../support/keystores.ts';
import { createAuthority } from '../../support/pki.ts';

const secret = 'correct horse';
const passphrase = new Secret(secret);
let keystore: Buffer;
/** Half a second and half a minute of key derivation. */
let slow: Buffer;
let stuck: Buffer;

before(async () => {
  const leaf = await (await createAuthority()).issue({ names: ['a.test'] });
  keystore = await makeKeystore(leaf.keyPem + leaf.chainPem, { passphrase: secret, args: ['-iter', '1'] });
  slow = withMacIterations(keystore, [0x03, 0x0d, 0x40]);
  stuck = withMacIterations(keystore, [0x00, 0x90, 0x00, 0x00]);
});

const timeout = 20_000;

test('the event loop goes on while a keystore is opened', async () => {
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 5);
  const { opened } = await new DecodingThread().decode({ bytes: slow, passphrase, timeout });
  clearInterval(timer);
  assert.ok('fault' in opened);
  assert.ok(turns > 5, `${turns} turns`);
});

test('one that takes too long is given up, and those behind it are opened', async () => {
  const thread = new DecodingThread();
  const [late, next, last] = await Promise.all([
    thread.decode({ bytes: stuck, passphrase, timeout: 300 }),
    thread.decode({ bytes: keystore, passphrase, timeout }),
    thread.decode({ bytes: keystore, passphrase: undefined, timeout }),
  ]);
  assert.ok(!late.final && 'fault' in late.opened);
  assert.equal(late.opened.fault.code, 'KEYSTORE_UNREADABLE');
  assert.match(late.opened.fault.message, /within 300 ms/);
  assert.ok(next.final && 'keys' in next.opened);
  assert.ok(last.final && 'fault' in last.opened);
  assert.equal(last.opened.fault.code, 'KEY_PASSPHRASE_MISSING');
});

test('a thread that dies is said to have, and the next keystore starts another', async () => {
  for (const end of ['process.exit(3)', "throw new Error('no')"]) {
    const script = `import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => { ${end} });`;
    const thread = new DecodingThread(new URL(`data:text/javascript,${encodeURIComponent(script)}`));
    for (const _ of ['first', 'second']) {
      const { opened, final } = await thread.decode({ bytes: keystore, passphrase, timeout });
      assert.ok('fault' in opened && !final);
      assert.match(opened.fault.message, /thread ended/);
    }
  }
});

test('keeps the process while somebody waits, and not afterwards', { timeout }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--eval',
    `import { decodingThread } from ${moduleOf('certificates/pkcs12/decoding-thread.ts')};
     import { Secret } from ${moduleOf('certificates/secret.ts')};
     const bytes = Buffer.from('${keystore.toString('base64')}', 'base64');
     const open = () => decodingThread.decode({ bytes, passphrase: new Secret('${secret}'), timeout: ${timeout} });
     void open().then(open).then(({ opened }) => console.log(opened.keys.length));`,
  ]);
  assert.equal(stdout, '1\n');
});
