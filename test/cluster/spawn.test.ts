import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { spawnWorker } from '../../src/cluster/index.ts';
import { temporaryDirectory } from '../support/files.ts';

const options = { env: process.env, execArgv: [], descriptors: [] };

test('a process that cannot be started ends at once, with the reason', async (t) => {
  const { execPath } = process;
  t.after(() => {
    process.execPath = execPath;
  });
  process.execPath = '/nonexistent/node';
  const worker = spawnWorker({ ...options, program: 'unused.ts' });
  const how = await new Promise<string>((resolve) => worker.onExit(resolve));
  assert.match(how, /ENOENT/);
  // Neither of them throws.
  worker.wire.send({ call: 'begin' });
  worker.kill('SIGKILL');
});

test('messages keep their buffers and maps, and the end of a process is told with what it ended by', async (t) => {
  const program = join(await temporaryDirectory(t), 'worker.mjs');
  await writeFile(program, `process.on('message', (message) => process.send(message)); process.send('ready');`);
  const worker = spawnWorker({ ...options, program });
  const said: unknown[] = [];
  const heard = Promise.withResolvers<void>();
  worker.wire.receive((message) => {
    said.push(message);
    if (message === 'ready') worker.wire.send(new Map([['key', Buffer.from('bytes')]]));
    else heard.resolve();
  });
  await heard.promise;
  assert.deepEqual(said[1], new Map([['key', Buffer.from('bytes')]]));
  const ended = new Promise<string>((resolve) => worker.onExit(resolve));
  worker.kill('SIGKILL');
  assert.equal(await ended, 'signal SIGKILL');
  worker.wire.send('lost');
});
