import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { describe, test } from 'node:test';
import { connectRaw } from '../support/raw-client.ts';
import { bounded, eventually, startFrontDoor, valuesOf } from '../support/swivel.ts';
import { startUpstream } from '../support/upstream.ts';

const get = (fields = '') => `GET /a?secret=1 HTTP/1.1\r\nHost: app.test\r\n${fields}\r\n`;
const hasIPv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));

describe('the peer of a connection', () => {
  for (const [name, host, peer, trustedProxies, forwardedFor] of [
    ['is not trusted by default', '127.0.0.1', '127.0.0.1', [], '127.0.0.1'],
    ['is trusted by its address', '127.0.0.1', '127.0.0.1', ['127.0.0.1'], '6.6.6.6, 127.0.0.1'],
    ['is trusted by a range', '127.0.0.1', '127.0.0.1', ['10.0.0.0/8', '127.0.0.0/8'], '6.6.6.6, 127.0.0.1'],
    ['is not trusted by a range beside it', '127.0.0.1', '127.0.0.1', ['128.0.0.0/8', '::/0'], '127.0.0.1'],
    ['of IPv4 is known as such behind a socket of IPv6', '::', '127.0.0.1', ['127.0.0.0/8'], '6.6.6.6, 127.0.0.1'],
    ['of IPv6 is trusted by a range', '::', '::1', ['::/64'], '6.6.6.6, ::1'],
    ['of IPv6 is not trusted by a range of IPv4', '::', '::1', ['0.0.0.0/0'], '::1'],
  ] as const) {
    const options = { ...bounded, skip: peer === '::1' && !hasIPv6 ? 'there is no IPv6 here' : false };
    test(name, options, async (t) => {
      const upstream = await startUpstream(t);
      const door = await startFrontDoor(t, { upstream: upstream.url, host, proxy: { trustedProxies } });
      const client = await connectRaw(t, door, { host: peer });
      await client.request(get('X-Forwarded-For: 6.6.6.6\r\n'));
      assert.equal(upstream.requests[0]?.header('x-forwarded-for'), forwardedFor);
    });
  }
});

test('plain HTTP is told what is wrong, and the connection ends', bounded, async (t) => {
  const door = await startFrontDoor(t, { upstream: [] });
  const socket = connect(door.port, '127.0.0.1').setEncoding('latin1');
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.write(get());
  await once(socket, 'close');
  assert.match(text, /^HTTP\/1\.1 400 Bad Request\r\n.*\r\n\r\nPLAIN_HTTP: .*\n$/s);
  await eventually(() => door.connections.size === 0);
  assert.deepEqual(await valuesOf(door.metrics.handshakes), { 'failure,false': 1 });
});

test('the upstream is told which certificate the client was shown', bounded, async (t) => {
  const upstream = await startUpstream(t);
  const certificates = { one: ['app.test'], two: ['other.test'] };
  const proxy = { certificateHeader: 'X-Swivel-Certificate' };
  const door = await startFrontDoor(t, { upstream: upstream.url, certificates, proxy });
  for (const servername of ['app.test', 'other.test']) {
    await (await connectRaw(t, door, { servername })).request(get('X-Swivel-Certificate: forged\r\n'));
  }
  const fingerprints = ['one', 'two'].map((id) => `${id} ${door.leaves.get(id)?.fingerprint256}`);
  assert.deepEqual(
    upstream.requests.map((request) => request.header('x-swivel-certificate')),
    fingerprints,
  );
});

test('the access log tells of each request, without its query', bounded, async (t) => {
  const upstream = await startUpstream(t);
  const door = await startFrontDoor(t, { upstream: upstream.url });
  const client = await connectRaw(t, door);
  await client.request(get());
  await client.request('GET /b HTTP/1.1\r\n\r\n');
  const lines = door.log.filter(({ event }) => event === 'request');
  assert.deepEqual(
    lines.map(({ time, level, durationMs, ...line }) => line),
    [
      {
        ...{ event: 'request', client: '127.0.0.1', method: 'GET', host: 'app.test', path: '/a', version: '1.1' },
        ...{ status: 200, bytes: 2, certificate: 'app', msg: 'request' },
      },
      {
        ...{ event: 'request', client: '127.0.0.1', method: 'GET', path: '/b', version: '1.1' },
        ...{ status: 400, bytes: 0, certificate: 'app', code: 'REQUEST_HOST', msg: 'request' },
      },
    ],
  );
  assert.ok(!JSON.stringify(door.log).includes('secret'));
});
