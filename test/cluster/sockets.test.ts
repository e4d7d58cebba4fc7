import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import net, { connect, createServer, type Socket } from 'node:net';
import { constants, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type BoundSocket, bind } from '../../src/cluster/index.ts';

interface Internals {
  _createServerHandle(host: string, port: number, family: number): object | number;
}

async function bound(t: TestContext, host: string, port = 0): Promise<BoundSocket> {
  const socket = await bind({ host, port });
  t.after(() => socket.close());
  return socket;
}

function dial(t: TestContext, host: string, port: number): Socket {
  const client = connect(port, host);
  client.on('error', () => {});
  t.after(() => client.destroy());
  return client;
}

/** A server on a bound socket that says its name to everybody. */
async function serve(t: TestContext, { handle }: BoundSocket, name: string) {
  const server = createServer((socket) => socket.end(name)).listen(handle);
  t.after(() => server.close());
  await once(server, 'listening');
  return server;
}

/** Another process that serves on a bound socket. */
async function childThatServes(t: TestContext, { handle }: BoundSocket, name: string): Promise<ChildProcess> {
  const program = join(import.meta.dirname, 'support/serve-socket.ts');
  const child = fork(program, [name], { serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  t.after(() => child.kill('SIGKILL'));
  child.send('serve', handle as never);
  const [said] = await once(child, 'message');
  assert.equal(said, 'serves');
  return child;
}

async function hears(client: Socket): Promise<string> {
  let text = '';
  for await (const chunk of client) text += String(chunk);
  return text;
}

const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === 'IPv6'));

test('an address is bound with the port that it was given, and a server that is handed the socket serves on it', async (t) => {
  const socket = await bound(t, '127.0.0.1');
  assert.equal(socket.address.host, '127.0.0.1');
  assert.ok(socket.address.port > 0);
  const server = await serve(t, socket, 'one');
  assert.deepEqual(server.address(), { address: '127.0.0.1', family: 'IPv4', port: socket.address.port });
  assert.equal(await hears(dial(t, '127.0.0.1', socket.address.port)), 'one');
});

test('an address in use is told so, by its name', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  await assert.rejects(bind({ host: '127.0.0.1', port }), {
    code: 'LISTEN_FAILED',
    message: `cannot listen on 127.0.0.1:${port}: the port is in use`,
  });
});

test('an address that is not of this machine, and a name that does not exist, cannot be bound', async () => {
  await assert.rejects(bind({ host: '192.0.2.1', port: 0 }), { code: 'LISTEN_FAILED', message: /EADDRNOTAVAIL/ });
  await assert.rejects(bind({ host: 'nowhere.invalid', port: 0 }), {
    code: 'LISTEN_FAILED',
    message: /nowhere\.invalid/,
  });
});

test('a name is looked up', async (t) => {
  const socket = await bound(t, 'localhost');
  assert.equal(socket.address.host, 'localhost');
  await serve(t, socket, 'localhost');
  assert.equal(await hears(dial(t, 'localhost', socket.address.port)), 'localhost');
});

test('the address for all takes IPv4, and IPv6 where there is any', async (t) => {
  const socket = await bound(t, '::');
  await serve(t, socket, 'all');
  assert.equal(await hears(dial(t, '127.0.0.1', socket.address.port)), 'all');
  if (hasIpv6) assert.equal(await hears(dial(t, '::1', socket.address.port)), 'all');
});

test('where the system has no IPv6, the address for all is that of IPv4', async (t) => {
  const { _createServerHandle: create } = net as unknown as Internals;
  const tried: string[] = [];
  const replace = (by: Internals['_createServerHandle']) => {
    Object.assign(net, { _createServerHandle: by });
    syncBuiltinESMExports();
  };
  t.after(() => replace(create));
  replace((host, port, family) => {
    tried.push(`${host} ${family}`);
    return family === 6 ? constants.errno.EAFNOSUPPORT * -1 : create(host, port, family);
  });
  const again = '../../src/cluster/sockets.ts?without-ipv6';
  const { bind: bindThere } = (await import(again)) as { bind: typeof bind };
  const socket = await bindThere({ host: '::', port: 0 });
  t.after(() => socket.close());
  assert.deepEqual(tried, [':: 6', '0.0.0.0 4']);
  assert.equal(socket.address.host, '0.0.0.0');
});

test('connections wait for the next process when the one that served is gone', async (t) => {
  const socket = await bound(t, '127.0.0.1');
  const { port } = socket.address;
  const first = await childThatServes(t, socket, 'first');
  assert.equal(await hears(dial(t, '127.0.0.1', port)), 'first');
  first.kill('SIGKILL');
  await once(first, 'exit');
  // Nobody is there to accept them; the kernel does, for the socket is still held here.
  const waiting = [1, 2, 3].map(() => dial(t, '127.0.0.1', port));
  await Promise.all(waiting.map((client) => once(client, 'connect')));
  await childThatServes(t, socket, 'second');
  assert.deepEqual(await Promise.all(waiting.map(hears)), ['second', 'second', 'second']);
});

test('several processes share a socket, and one of them that closes it leaves it to the others', async (t) => {
  const socket = await bound(t, '127.0.0.1');
  const first = await childThatServes(t, socket, 'first');
  const second = await childThatServes(t, socket, 'second');
  first.send('close');
  await once(first, 'message');
  for (let i = 0; i < 5; i += 1) assert.equal(await hears(dial(t, '127.0.0.1', socket.address.port)), 'second');
  second.send('close');
  await once(second, 'message');
});

test('a socket that nobody listens on yet refuses, and one that was closed is free again', async (t) => {
  const socket = await bind({ host: '127.0.0.1', port: 0 });
  const client = dial(t, '127.0.0.1', socket.address.port);
  const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNREFUSED');
  socket.close();
  await bound(t, '127.0.0.1', socket.address.port);
});
