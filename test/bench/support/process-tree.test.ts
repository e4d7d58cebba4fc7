import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { CpuMeter, memoryOfTree, processTree } from './process-tree.ts';

/** A process whose child works for 200 ms of processor time when told to, half of it in another thread. */
const PARENT = `
  const child = require('node:child_process').fork('-e', [process.argv[1]], { execArgv: ['-e', process.argv[1]] });
  child.on('message', (message) => process.send(message));
  process.on('message', (message) => child.send(message));
`;
const CHILD = `
  const { Worker } = require('node:worker_threads');
  const work = 'const began = process.threadCpuUsage(); while (process.threadCpuUsage(began).user < 100_000);';
  process.on('message', () => {
    eval(work);
    const worker = new Worker(work + 'require("node:worker_threads").parentPort.postMessage(0); setInterval(() => {}, 1e6)', { eval: true });
    worker.on('message', () => process.send('done'));
  });
  process.send('ready');
`;

test('processor time and memory of children, and of their threads, count', async (t) => {
  const parent = spawn(process.execPath, ['-e', PARENT, CHILD], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const { pid } = parent;
  assert.ok(pid !== undefined);
  t.after(() => {
    for (const member of processTree(pid)) process.kill(member, 'SIGKILL');
  });
  await once(parent, 'message');
  assert.equal(processTree(pid).length, 2);
  assert.ok(memoryOfTree(pid).pss > memoryOfTree(processTree(pid)[1] ?? 0).pss);
  const meter = new CpuMeter(pid);
  parent.send('work');
  await once(parent, 'message');
  // A tick may be missing where the kernel counts nothing finer.
  assert.ok(meter.seconds() >= 0.18, `${meter.seconds()}`);
});
