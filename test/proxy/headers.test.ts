import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fieldNamesFor } from '../../src/proxy/field-names.ts';
import { readFields, trailerFields } from '../../src/proxy/headers.ts';
import {
  type ClientHeaderNames,
  connectionOptions,
  parseAuthority,
  responseHeaders,
  sentFields,
} from '../../src/proxy/index.ts';

const certificate = { id: 'app', fingerprint256: 'ab12', names: ['app.test'] };
const admit = () => ({ kind: 'admit', certificate: null }) as const;
const hopByHop = ['connection', 'keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization'];
const perConnection = [...hopByHop, 'te', 'transfer-encoding', 'upgrade', 'http2-settings'];

/** Where nobody is believed who gave it an id, a request gets one of ours. */
const ours = randomUUID();

interface Setting {
  readonly host?: string;
  readonly address?: string;
  readonly trusted?: boolean;
  readonly certificateHeader?: string | null;
  readonly clientHeaders?: ClientHeaderNames;
}

function edit(received: readonly string[], setting: Setting = {}): { lines: string[]; fields: Map<string, string[]> } {
  const authority = parseAuthority(setting.host ?? 'app.test');
  assert.ok(authority);
  const options = {
    trusts: () => setting.trusted ?? false,
    certificateHeader: setting.certificateHeader ?? null,
    clientHeaders: setting.clientHeaders ?? {},
  };
  const client = { address: setting.address ?? '192.0.2.1', certificate, admit };
  const sent = sentFields(readFields(received, fieldNamesFor(options)), authority, client, options, null, '');
  const headers = [...sent.text.headers, 'x-request-id', sent.requestId ?? ours];
  const fields = new Map<string, string[]>();
  const lines: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    lines.push(`${name}: ${headers[i + 1]}`);
    fields.set(name.toLowerCase(), [...(fields.get(name.toLowerCase()) ?? []), headers[i + 1] ?? '']);
  }
  return { lines, fields };
}

describe('fields of a request', () => {
  test('its own stay as they are, in their order', () => {
    const own = ['uSeR-AgEnt', 'x', 'Accept', 'a', 'Accept', 'b', 'X-Empty', ''];
    const { lines } = edit(['Host', 'APP.test:443', ...own], { host: 'APP.test:443' });
    assert.deepEqual(lines.slice(0, 5), [
      ...['host: APP.test:443', 'uSeR-AgEnt: x', 'Accept: a', 'Accept: b', 'X-Empty: '],
    ]);
  });

  test('those of the connection go, also those that it names, in any case and anywhere in the list', () => {
    const named = ['Connection', 'close, X-A ,x-b', 'CONNECTION', 'Cookie,,', 'x-a', '1', 'X-B', '2', 'cookie', 'c=3'];
    const { fields } = edit([...perConnection.flatMap((name) => [name, 'x']), ...named, 'X-C', '4']);
    for (const name of [...perConnection, 'x-a', 'x-b', 'cookie']) assert.equal(fields.has(name), false, name);
    assert.deepEqual(fields.get('x-c'), ['4']);
  });

  test('those that end here go: Expect, Trailer, and Proxy, which a CGI program takes for its own', () => {
    const { fields } = edit(['Expect', '100-continue', 'Trailer', 'X-Sum', 'Proxy', 'http://evil.test']);
    for (const name of ['expect', 'trailer', 'proxy']) assert.equal(fields.has(name), false, name);
  });

  test('those that frame a body are left to who decides on the framing', () => {
    const { fields } = edit(['Content-Length', '5', 'Transfer-Encoding', 'chunked']);
    for (const name of ['content-length', 'transfer-encoding']) assert.equal(fields.has(name), false, name);
  });

  test('Connection cannot name a field of ours away', () => {
    const ours = ['host', 'x-forwarded-for', 'x-forwarded-proto', 'forwarded', 'x-request-id', 'x-certificate'];
    const { fields } = edit(['Connection', ours.join(', ')], { certificateHeader: 'x-certificate' });
    for (const name of ours) assert.equal(fields.get(name)?.length, 1, name);
  });

  test('cookie crumbs are joined (RFC 9113 §8.2.3)', () => {
    assert.deepEqual(edit(['cookie', 'a=1', 'x', 'y', 'Cookie', 'b=2; c=3']).fields.get('cookie'), ['a=1; b=2; c=3']);
  });

  test('TE says that trailers are understood, and no more', () => {
    for (const value of ['trailers', 'gzip, trailers', 'Trailers;q=0.5', 'trailers , deflate']) {
      assert.deepEqual(edit(['TE', value]).fields.get('te'), ['trailers'], value);
    }
    for (const value of ['gzip', '', 'xtrailers', 'trailersx'])
      assert.equal(edit(['TE', value]).fields.has('te'), false);
  });

  test('the certificate that was shown is told only when that is wanted, and never by the client', () => {
    const claim = ['X-Certificate', 'forged', 'X_Certificate', 'forged'];
    const told = edit(claim, { certificateHeader: 'x-certificate' });
    assert.deepEqual(told.lines.at(-2), 'x-certificate: app ab12');
    assert.equal(told.fields.has('x_certificate'), false);
    assert.equal(edit([]).fields.has('x-certificate'), false);
  });
});

describe('forwarding fields', () => {
  const claims = [
    ...['X-Forwarded-For', '6.6.6.6', 'x-forwarded-for', '7.7.7.7', 'X-Forwarded-Proto', 'http'],
    ...['X-Forwarded-Host', 'outer.test', 'X-Forwarded-Port', '8443', 'X-Forwarded-Prefix', '/app'],
    ...['Forwarded', 'for=6.6.6.6;proto=http', 'X-Request-Id', 'id-1'],
  ];
  const forwardingOf = ({ fields }: ReturnType<typeof edit>) =>
    Object.fromEntries([...fields].filter(([name]) => /^(x-)?forwarded|^x-request-id$/.test(name)));

  test('from a peer that is not trusted are overwritten, also those that Swivel does not write', () => {
    const { 'x-request-id': id, ...others } = forwardingOf(edit(claims));
    assert.deepEqual(others, {
      'x-forwarded-for': ['192.0.2.1'],
      'x-forwarded-proto': ['https'],
      'x-forwarded-host': ['app.test'],
      'x-forwarded-port': ['443'],
      forwarded: ['for=192.0.2.1;host=app.test;proto=https'],
    });
    assert.match(id?.join() ?? '', /^[0-9a-f-]{36}$/);
  });

  test('from a trusted peer are appended to where they are lists, else believed', () => {
    assert.deepEqual(forwardingOf(edit(claims, { trusted: true })), {
      'x-forwarded-for': ['6.6.6.6, 7.7.7.7, 192.0.2.1'],
      'x-forwarded-proto': ['http'],
      'x-forwarded-host': ['outer.test'],
      'x-forwarded-port': ['8443'],
      'x-forwarded-prefix': ['/app'],
      forwarded: ['for=6.6.6.6;proto=http, for=192.0.2.1;host=app.test;proto=https'],
      'x-request-id': ['id-1'],
    });
  });

  test('disguised with underscores reach nobody who would take them for the real ones', () => {
    const disguised = [
      'X_Forwarded_For',
      '6.6.6.6',
      'X-Forwarded_Proto',
      'http',
      'x_request_id',
      'x',
      'Transfer_Encoding',
      'x',
    ];
    for (const trusted of [false, true]) {
      const { fields } = edit([...disguised, 'X_Own', 'kept'], { trusted });
      assert.deepEqual(
        [...fields.keys()].filter((name) => name.includes('_')),
        ['x_own'],
      );
    }
  });

  for (const [host, address, forwarded, port] of [
    ['app.test', '192.0.2.1', 'for=192.0.2.1;host=app.test;proto=https', '443'],
    ['app.test:8443', '192.0.2.1', 'for=192.0.2.1;host="app.test:8443";proto=https', '8443'],
    ['app.test', '2001:db8::1', 'for="[2001:db8::1]";host=app.test;proto=https', '443'],
    ['[::1]:1', 'fe80::1%eth0', 'for="[fe80::1]";host="[::1]:1";proto=https', '1'],
  ] as const) {
    test(`of ${address} to ${host} are written as RFC 7239 §6 wants them`, () => {
      const { fields } = edit([], { host, address });
      assert.deepEqual(fields.get('forwarded'), [forwarded]);
      assert.deepEqual(fields.get('x-forwarded-for'), [address]);
      assert.deepEqual(fields.get('x-forwarded-port'), [port]);
    });
  }
});

describe('fields of an answer', () => {
  test('those of the connection go, the others stay as they are', () => {
    const received = [
      'Set-Cookie',
      'a=1',
      'Connection',
      'X-A',
      'x-a',
      '1',
      'set-cookie',
      'b=2',
      'Upgrade',
      'h2c',
      'Trailer',
      'X',
    ];
    assert.deepEqual(responseHeaders(received), ['Set-Cookie', 'a=1', 'set-cookie', 'b=2', 'Trailer', 'X']);
  });

  test('the id of the request is put in place of any other', () => {
    assert.deepEqual(responseHeaders(['X-Request-ID', 'a', 'X-B', 'c', 'x-request-id', 'd'], 'mine'), [
      ...['X-B', 'c', 'x-request-id', 'mine'],
    ]);
  });

  test('trailers hold nothing that would change how a message is read (RFC 9110 §6.5.1)', () => {
    const received = [
      'X-Sum',
      '1',
      'Content-Length',
      '3',
      'Host',
      'evil.test',
      'Transfer-Encoding',
      'x',
      'Set-Cookie',
      'a=1',
    ];
    assert.deepEqual(trailerFields(received), ['X-Sum', '1']);
  });
});

describe('whatever is received', () => {
  const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/);
  const sensitive = [
    ...perConnection,
    'host',
    'expect',
    'x-forwarded-for',
    'X-Forwarded_For',
    'forwarded',
    'x-request-id',
  ];
  const mixedCase = fc
    .tuple(fc.constantFrom(...sensitive), fc.infiniteStream(fc.boolean()))
    .map(([name, upper]) => [...name].map((c) => (upper.next().value ? c.toUpperCase() : c)).join(''));
  const name = fc.oneof(token, mixedCase);
  const value = fc.stringMatching(/^[\x20-\x7e]{0,20}$/);
  const list = fc.array(name, { maxLength: 4 }).map((names) => names.join(', '));
  const field = fc.oneof(fc.tuple(name, value), fc.tuple(fc.constantFrom('Connection', 'connection'), list));
  const fields = fc.array(field, { maxLength: 20 }).map((pairs) => pairs.flat());

  test('nothing of the connection goes upstream, Host once, each field of ours once', () => {
    fc.assert(
      fc.property(fields, fc.boolean(), (received, trusted) => {
        const edited = edit(received, { trusted }).fields;
        const ours = ['host', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'forwarded', 'x-request-id'];
        for (const name of perConnection) if (name !== 'te') assert.equal(edited.has(name), false, name);
        for (const name of connectionOptions(received)) {
          if (name !== 'te' && !ours.includes(name) && name !== 'x-forwarded-port')
            assert.equal(edited.has(name), false, name);
        }
        for (const name of ours) assert.equal(edited.get(name)?.length, 1, name);
        assert.deepEqual(edited.get('host'), ['app.test']);
        assert.ok(edited.get('x-forwarded-for')?.[0]?.endsWith('192.0.2.1'));
      }),
    );
  });

  test('nothing of the connection goes to the client', () => {
    fc.assert(
      fc.property(fields, (received) => {
        const edited = responseHeaders(received);
        const named = connectionOptions(received);
        for (let i = 0; i < edited.length; i += 2) {
          const name = edited[i]?.toLowerCase() ?? '';
          assert.ok(!perConnection.includes(name) && !named.has(name), name);
        }
      }),
    );
  });
});
