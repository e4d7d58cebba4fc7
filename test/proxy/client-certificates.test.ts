import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { ClientChains } from '../../src/connections/index.ts';
import { type Authority, createAuthority, type Leaf, type LeafOptions } from '../support/pki.ts';
import { bounded, eventually, type FrontDoorSetup, startFrontDoor } from '../support/swivel.ts';
import { response, startUpstream } from '../support/upstream.ts';
import { holdingRelay } from '../tls/support/listening.ts';
import {
  ask,
  bundle,
  exchangeBundles,
  misdirected,
  missing,
  off,
  optional,
  present,
  presentHttp2,
  protocols,
  rejected,
  required,
  rules,
  type Showing,
} from './support/mutual.ts';

const hour = 3_600_000;
const versions = ['TLSv1.2', 'TLSv1.3'] as const;
const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

let staff: Authority;
let partners: Authority;
let alice: Leaf;
let partner: Leaf;
const clientOf = (authority: Authority, options: LeafOptions = {}) =>
  authority.issue({ names: ['client.test'], eku: ['clientAuth'], ...options });

before(async () => {
  [staff, partners] = [await createAuthority(), await createAuthority()];
  [alice, partner] = [await clientOf(staff), await clientOf(partners)];
});

async function open(t: Parameters<typeof startFrontDoor>[0], setup: FrontDoorSetup) {
  const upstream = await startUpstream(t, (request) => (request.header('upgrade') ? switching : response()));
  const bundles = [bundle('staff', staff.certificatePem), bundle('partners', partners.certificatePem)];
  const door = await startFrontDoor(t, { upstream: upstream.url, bundles, ...setup });
  return { upstream, door };
}

for (const protocol of protocols) {
  describe(`over ${protocol}`, () => {
    test('each host has its rule: off, optional, required; with or without a certificate', bounded, async (t) => {
      const { door, upstream } = await open(t, {
        clients: rules(optional('staff'), {
          'Admin.app.test': required('staff'),
          'open.app.test': off,
          '*.app.test': required('partners'),
        }),
      });
      const expected: [string, string, string, string][] = [
        ['app.test', 'in', 'in', rejected],
        ['admin.app.test', missing, 'in', rejected],
        ['ADMIN.App.Test', missing, 'in', rejected],
        ['admin.app.test.', missing, 'in', rejected],
        ['admin.app.test:8443', missing, 'in', rejected],
        ['open.app.test', 'in', 'in', 'in'],
        ['x.app.test', missing, rejected, 'in'],
      ];
      for (const [host, none, ofStaff, ofPartners] of expected) {
        assert.equal(await ask(t, door, protocol, host), none, host);
        assert.equal(await ask(t, door, protocol, host, { leaf: alice }), ofStaff, `alice for ${host}`);
        assert.equal(await ask(t, door, protocol, host, { leaf: partner }), ofPartners, `partner for ${host}`);
      }
      const admitted = expected.flatMap((row) => row.slice(1)).filter((verdict) => verdict === 'in').length;
      assert.equal(upstream.requests.length, admitted, 'what is refused does not go upstream');
    });

    test('a listener that does not ask sees no certificate', bounded, async (t) => {
      const { door } = await open(t, {});
      assert.equal(await ask(t, door, protocol, 'app.test', { leaf: partner }), 'in');
      assert.equal(door.connections.accepted[0]?.client, null);
    });

    test('a certificate that is not good is refused, also where none is needed', bounded, async (t) => {
      const revoked = await clientOf(staff);
      const stranger = await createAuthority();
      const { door } = await open(t, {
        bundles: [bundle('staff', staff.certificatePem, await staff.crl([revoked]))],
        clients: rules(optional('staff'), { 'admin.app.test': required('staff'), 'lost.app.test': optional('lost') }),
      });
      const now = Date.now();
      const bad: Record<string, Leaf> = {
        revoked,
        expired: await clientOf(staff, { notBefore: new Date(now - 2 * hour), notAfter: new Date(now - hour) }),
        'not yet valid': await clientOf(staff, { notBefore: new Date(now + hour) }),
        'of an unknown authority': await clientOf(stranger),
        'of one that bears the same name': await clientOf(await createAuthority({ name: staff.name })),
        'for servers only': await clientOf(staff, { eku: ['serverAuth'] }),
      };
      for (const [what, leaf] of Object.entries(bad)) {
        for (const host of ['app.test', 'admin.app.test']) {
          assert.equal(await ask(t, door, protocol, host, { leaf }), rejected, `${what} for ${host}`);
        }
      }
      assert.equal(await ask(t, door, protocol, 'admin.app.test', { leaf: alice }), 'in');
      assert.equal(await ask(t, door, protocol, 'lost.app.test', { leaf: alice }), rejected, 'a bundle never loaded');
      assert.equal(await ask(t, door, protocol, 'lost.app.test'), 'in');
    });

    test('a connection made for another host, or for none', bounded, async (t) => {
      const { door } = await open(t, { clients: rules(off, { 'admin.app.test': required('staff') }) });
      const to = (showing: Showing) => ask(t, door, protocol, 'admin.app.test', showing);
      assert.equal(await to({ servername: 'app.test' }), misdirected);
      assert.equal(await to({ servername: 'app.test', leaf: partner }), misdirected);
      assert.equal(await to({ servername: 'app.test', leaf: alice }), 'in');
      assert.equal(await to({ servername: 'ADMIN.app.test.' }), missing);
      assert.equal(await to({ servername: null }), missing);
      assert.equal(await to({ servername: null, leaf: alice }), 'in');
      assert.equal(await to({ servername: null, leaf: partner }), rejected);
    });

    test('intermediates: sent by the client below a root, or in the bundle themselves', bounded, async (t) => {
      const upper = await staff.intermediate();
      const lower = await upper.intermediate();
      const leaf = await clientOf(lower);
      const { door } = await open(t, {
        bundles: [bundle('staff', staff.certificatePem), bundle('lower', lower.certificatePem)],
        clients: rules(required('staff'), { 'lower.app.test': required('lower') }),
      });
      const { certificatePem } = leaf;
      const chains = {
        'in order': leaf.chainPem,
        'with the root': leaf.chainPem + staff.certificatePem,
        'the leaf twice': certificatePem + leaf.chainPem,
        'in another order': certificatePem + staff.certificatePem + upper.certificatePem + lower.certificatePem,
      };
      for (const servername of ['app.test', null]) {
        for (const [what, chainPem] of Object.entries(chains)) {
          assert.equal(await ask(t, door, protocol, 'app.test', { leaf, chainPem, servername }), 'in', what);
        }
      }
      const alone = { leaf, chainPem: certificatePem };
      assert.equal(await ask(t, door, protocol, 'app.test', alone), rejected, 'others sent what it leaves out');
      assert.equal(await ask(t, door, protocol, 'lower.app.test', alone), 'in');
      assert.equal(await ask(t, door, protocol, 'lower.app.test', { leaf }), 'in');
      assert.equal(await ask(t, door, protocol, 'lower.app.test', { leaf: await clientOf(upper) }), rejected);
    });
  });
}

test(
  "a key that is too short is refused, the client's or one above it, whatever the bundle holds",
  bounded,
  async (t) => {
    const weak = await staff.intermediate({ keyType: 'rsa-1024' });
    const { door } = await open(t, {
      bundles: [bundle('staff', staff.certificatePem), bundle('weak', weak.certificatePem)],
      clients: rules(required('staff'), { 'weak.app.test': required('weak') }),
    });
    // What no client does by itself.
    const ciphers = 'DEFAULT@SECLEVEL=0';
    for (const leaf of [await clientOf(staff, { keyType: 'rsa-1024' }), await clientOf(weak)]) {
      for (const version of versions) {
        for (const host of ['app.test', 'weak.app.test']) {
          assert.equal(await ask(t, door, 'HTTP/1.1', host, { leaf, version, ciphers }), rejected);
        }
      }
    }
  },
);

test('only of clients that are trusted is anything remembered', bounded, async (t) => {
  const { door } = await open(t, { clients: rules(required('staff')) });
  const learned = t.mock.method(ClientChains.prototype, 'learn');
  const stranger = await clientOf(await (await createAuthority()).intermediate());
  assert.equal(await ask(t, door, 'HTTP/1.1', 'app.test', { leaf: stranger }), rejected);
  assert.equal(learned.mock.callCount(), 0);
  const known = await clientOf(await staff.intermediate());
  assert.equal(await ask(t, door, 'HTTP/1.1', 'app.test', { leaf: known }), 'in');
  assert.equal(learned.mock.callCount(), 1);
});

describe('one connection', () => {
  test('of HTTP/2, for several hosts: each request is judged by the rule of its own', bounded, async (t) => {
    const { door } = await open(t, {
      clients: rules(off, {
        'admin.app.test': required('staff'),
        'opt.app.test': optional('staff'),
        'partners.app.test': required('partners'),
      }),
    });
    const statuses = async (leaf: Leaf | undefined) => {
      const client = await presentHttp2(t, door, { leaf });
      const hosts = ['app.test', 'admin.app.test', 'opt.app.test', 'partners.app.test', 'app.test'];
      const answers = await Promise.all(hosts.map((host) => client.request({ ':authority': host })));
      return answers.map(({ status }) => status);
    };
    assert.deepEqual(await statuses(undefined), [200, 421, 200, 421, 200]);
    assert.deepEqual(await statuses(alice), [200, 200, 200, 421, 200]);
    assert.deepEqual(await statuses(partner), [200, 421, 421, 200, 200]);
  });

  test('of HTTP/1.1 is refused from the moment at which its certificate expires', bounded, async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
    const { door } = await open(t, { clients: rules(required('staff')) });
    const client = await present(t, door, { leaf: await clientOf(staff, { notAfter: new Date(Date.now() + hour) }) });
    assert.equal((await client.get()).status, 200);
    t.mock.timers.tick(hour + 1000);
    const answer = await client.get();
    assert.equal(answer.status, 403);
    assert.match(answer.body, /^CLIENT_CERTIFICATE_REJECTED/);
  });

  test('a refusal leaves it open for what may be asked', bounded, async (t) => {
    const { door } = await open(t, { clients: rules(off, { 'admin.app.test': required('staff') }) });
    const client = await present(t, door);
    assert.equal((await client.get('admin.app.test')).status, 421);
    assert.equal((await client.get('app.test')).status, 200);
  });
});

test('what is malformed is told so, whoever sends it', bounded, async (t) => {
  const { door } = await open(t, { clients: rules(required('staff')) });
  for (const fields of [
    ['Host: app.test'],
    ['Content-Length: 1', 'Transfer-Encoding: chunked'],
    ['Transfer-Encoding: gzip, chunked'],
  ]) {
    assert.equal((await (await present(t, door)).get('app.test', fields)).status, 400, fields.join());
  }
  const odd = await present(t, door);
  assert.equal((await odd.get('a,b')).status, 400);
  // Which routes there are is nobody's business.
  const routed = await open(t, {
    clients: rules(required('staff')),
    proxy: { routes: [{ upstream: 'default', hosts: ['app.test'] }] },
  });
  assert.equal(await ask(t, routed.door, 'HTTP/1.1', 'x.app.test'), missing);
  assert.equal(await ask(t, routed.door, 'HTTP/1.1', 'x.app.test', { leaf: alice }), '404 ROUTE_NOT_FOUND');
});

for (const version of versions) {
  describe(`a resumed session of ${version}`, () => {
    const once = async (t: Parameters<typeof open>[0], door: Parameters<typeof present>[1], showing: Showing) => {
      const client = await present(t, door, { version, ...showing });
      const { status } = await client.get();
      const { reused } = client;
      return { status, reused, session: reused ? undefined : await client.ticket };
    };

    test('brings its certificate, which is verified again; with intermediates too', bounded, async (t) => {
      const { door, upstream } = await open(t, {
        clients: rules(required('staff')),
        proxy: { clientHeaders: { fingerprint: 'x-client' } },
      });
      for (const leaf of [alice, await clientOf(await (await staff.intermediate()).intermediate())]) {
        // No request at all on the first: what is to be remembered is remembered in the handshake.
        const first = await present(t, door, { version, leaf });
        const session = await first.ticket;
        first.destroy();
        for (const showing of [{ session }, { session, leaf }]) {
          const again = await present(t, door, { version, ...showing });
          assert.equal(again.reused, true);
          assert.equal((await again.get()).status, 200);
          assert.equal(upstream.requests.at(-1)?.header('x-client'), leaf.fingerprint256);
        }
      }
    });

    test('makes no certificate good that was not, and none that is for others', bounded, async (t) => {
      const { door } = await open(t, { clients: rules(required('staff'), { 'b.app.test': required('partners') }) });
      const stranger = await createAuthority();
      for (const leaf of [await clientOf(stranger), await clientOf(await stranger.intermediate()), partner]) {
        const first = await once(t, door, { leaf });
        assert.deepEqual([first.status, first.reused], [403, false]);
        assert.ok(first.session);
        const again = await once(t, door, { leaf, session: first.session });
        assert.deepEqual([again.status, again.reused], [403, true]);
      }
    });

    test('nor one that was not shown', bounded, async (t) => {
      const { door } = await open(t, { clients: rules(required('staff')) });
      const { session } = await once(t, door, {});
      assert.ok(session);
      const again = await once(t, door, { session, leaf: alice });
      assert.deepEqual([again.status, again.reused], [403, true]);
    });

    test('is refused when its certificate expired meanwhile', bounded, async (t) => {
      t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
      const { door } = await open(t, { clients: rules(required('staff')) });
      const leaf = await clientOf(staff, { notAfter: new Date(Date.now() + hour) });
      const { session } = await once(t, door, { leaf });
      assert.ok(session);
      t.mock.timers.tick(hour + 1000);
      const again = await once(t, door, { leaf, session });
      assert.deepEqual([again.status, again.reused], [403, true]);
    });

    for (const [what, bundles] of [
      ['the authority was replaced', async () => [bundle('staff', (await createAuthority()).certificatePem)]],
      ['the leaf was revoked', async () => [bundle('staff', staff.certificatePem, await staff.crl([alice]))]],
      ['the bundle is gone', async () => []],
    ] as const) {
      test(`is resumed no more when ${what}, and the full handshake is judged anew`, bounded, async (t) => {
        const { door } = await open(t, { clients: rules(required('staff')) });
        const { session } = await once(t, door, { leaf: alice });
        assert.ok(session);
        await exchangeBundles(door, await bundles());
        const again = await once(t, door, { leaf: alice, session });
        assert.deepEqual([again.status, again.reused], [403, false]);
        await exchangeBundles(door, [bundle('staff', staff.certificatePem)]);
        assert.deepEqual(
          [(await once(t, door, { leaf: alice, session })).reused],
          [false],
          'old keys do not come back',
        );
        assert.equal((await once(t, door, { leaf: alice })).status, 200);
      });
    }

    test('lives on when the bundles stay what they are', bounded, async (t) => {
      const { door } = await open(t, { clients: rules(required('staff')) });
      const { session } = await once(t, door, { leaf: alice });
      assert.ok(session);
      await exchangeBundles(door, [...door.store.current.bundles.values()].toReversed());
      const again = await once(t, door, { leaf: alice, session });
      assert.deepEqual([again.status, again.reused], [200, true]);
    });

    test('in a handshake that the change meets half-way, the new bundle decides', bounded, async (t) => {
      const { door } = await open(t, { clients: rules(required('staff')) });
      const relay = await holdingRelay(t, door.port);
      const shaking = present(t, { ...door, port: relay.port }, { leaf: alice, version });
      // The server has answered: in TLS 1.3 the client is done with it, in 1.2 it waits.
      const answered =
        version === 'TLSv1.3' ? shaking : eventually(() => Boolean(door.connections.accepted[0]?.certificate));
      await answered;
      await exchangeBundles(door, [bundle('staff', staff.certificatePem, await staff.crl([alice]))]);
      relay.release();
      const client = await shaking;
      assert.equal((await client.get()).status, 403);
      const again = await once(t, door, { leaf: alice, session: await client.ticket });
      assert.deepEqual([again.status, again.reused], [403, false], 'what it was given is sealed with old keys');
    });
  });
}

describe('what upstream is told of the client', () => {
  const clientHeaders = { xfcc: 'X-Forwarded-Client-Cert', subject: 'X-Subject', names: 'x-names' };
  const forged = ['X-Forwarded-Client-Cert', 'x_forwarded_client_cert', 'X-Subject', 'x_subject', 'X-Names', 'X-NAMES'];
  const told = (fields: readonly string[]) =>
    fields
      .map((name, i) => (i % 2 === 0 ? [name.toLowerCase().replaceAll('_', '-'), fields[i + 1]] : []))
      .filter(([name = '']) => /client-cert$|^x-subject$|^x-names$/.test(name));

  for (const trustedProxies of [[], ['127.0.0.1']]) {
    test(
      `comes from the certificate alone${trustedProxies.length ? ', also by a trusted proxy' : ''}`,
      bounded,
      async (t) => {
        const { door, upstream } = await open(t, {
          clients: rules(optional('staff'), { 'open.app.test': off }),
          proxy: { clientHeaders, trustedProxies },
        });
        const truth = [
          ['x-forwarded-client-cert', `Hash=${alice.fingerprint256};Subject="CN=client.test";DNS=client.test`],
          ['x-subject', 'CN=client.test'],
          ['x-names', 'client.test'],
        ];
        const lies = [...forged, ...forged].map((name) => `${name}: forgery`);
        const named = `Connection: Upgrade, ${forged.join(', ')}`;
        const trailing = ['Transfer-Encoding: chunked', 'Trailer: X-Subject'];
        for (const host of ['app.test', 'open.app.test']) {
          for (const leaf of [undefined, alice]) {
            const expected = leaf && host === 'app.test' ? truth : [];
            const client = await present(t, door, { leaf });
            for (const fields of [lies, [...lies, `Connection: ${forged.join(', ')}`]]) {
              assert.equal((await client.get(host, fields)).status, 200);
              assert.deepEqual(told(upstream.requests.at(-1)?.fields ?? []), expected);
            }
            const head = [`POST / HTTP/1.1`, `Host: ${host}`, ...trailing].join('\r\n');
            const trailers = `\r\n\r\n1\r\nx\r\n0\r\nX-Subject: forgery\r\nX-Forwarded-Client-Cert: forgery\r\n\r\n`;
            assert.equal((await client.request(head + trailers)).status, 200);
            assert.deepEqual(told(upstream.requests.at(-1)?.fields ?? []), expected);
            assert.equal((await client.get(host, [...lies, named, 'Upgrade: websocket'])).status, 101);
            assert.deepEqual(told(upstream.requests.at(-1)?.fields ?? []), expected);

            const http2 = await presentHttp2(t, door, { leaf });
            const fields = Object.fromEntries(forged.map((name) => [name.toLowerCase(), 'forgery']));
            assert.equal((await http2.request({ ':authority': host, ...fields })).status, 200);
            assert.deepEqual(told(upstream.requests.at(-1)?.fields ?? []), expected);
            const stream = http2.session.request({ ':authority': host, ':method': 'POST' }, { waitForTrailers: true });
            stream.on('wantTrailers', () =>
              stream.sendTrailers({ 'x-subject': 'forgery', 'x-forwarded-client-cert': 'forgery' }),
            );
            stream.end('x').resume();
            await new Promise((resolve) => stream.once('close', resolve));
            assert.deepEqual(told(upstream.requests.at(-1)?.fields ?? []), expected);
          }
        }
        assert.equal(upstream.bytes.includes('forgery'), false);
      },
    );
  }

  test('is not believed of a listener that does not ask for certificates', bounded, async (t) => {
    const { door, upstream } = await open(t, { proxy: { clientHeaders } });
    const client = await present(t, door, { leaf: alice });
    assert.equal(
      (
        await client.get(
          'app.test',
          forged.map((name) => `${name}: forgery`),
        )
      ).status,
      200,
    );
    assert.equal(upstream.bytes.includes('forgery'), false);
  });
});
