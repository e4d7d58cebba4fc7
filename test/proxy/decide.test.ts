import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { ClientCertificate } from '../../src/connections/index.ts';
import { type ClientFacts, type DecisionContext, decide, type RequestHead, Router } from '../../src/proxy/index.ts';
import { type FieldMemo, refuse } from '../../src/proxy/request.ts';

const client: ClientFacts = {
  address: '192.0.2.1',
  certificate: { id: 'app', fingerprint256: 'ab12', names: ['app.test', '*.app.test'] },
  admit: () => ({ kind: 'admit', certificate: null }),
};
const context: DecisionContext = {
  router: new Router([
    { hosts: ['app.test', '*.app.test', 'alias.test', 'other.test'], upstream: 'app' },
    { path: '/any', upstream: 'any' },
  ]),
  trusts: () => false,
  certificateHeader: null,
  clientHeaders: {},
  certificateFor: (host) => (host === 'other.test' ? 'other' : 'app'),
};

function request(head: Partial<RequestHead> & { fields?: Record<string, string | string[]> } = {}): RequestHead {
  const { fields = { Host: 'app.test' }, ...rest } = head;
  const headers = Object.entries(fields).flatMap(([name, values]) => [values].flat().flatMap((value) => [name, value]));
  return { method: 'GET', target: '/', version: '1.1', headers, hasBody: false, ...rest };
}

/** A decision in a few words. */
function judge(head: RequestHead, facts = client): string {
  const decision = decide(head, facts, context);
  if (decision.kind === 'forward') return `${decision.upstream} ${decision.path}`;
  return `${decision.status} ${decision.code}${decision.close ? ', close' : ''}`;
}

describe('where a request goes', () => {
  for (const [name, head, expected] of [
    ['by Host', request({ target: '/a?b' }), 'app /a?b'],
    ['by Host with a port and in capitals', request({ fields: { host: 'X.APP.test:8443' } }), 'app /'],
    ['by an absolute target', request({ target: 'HTTP://app.test/a' }), 'app /a'],
    ['by an absolute target without a path', request({ target: 'https://app.test?a' }), 'app /?a'],
    ['by an absolute target without Host', request({ target: 'http://app.test/', fields: {} }), 'app /'],
    ['by :authority', request({ version: '2.0', authority: 'app.test', fields: {} }), 'app /'],
    ['by :authority that Host repeats', request({ version: '2.0', authority: 'App.test' }), 'app /'],
    ['by Host, where :authority is missing', request({ version: '2.0' }), 'app /'],
    ['nowhere', request({ fields: { host: 'nobody.test' } }), '404 ROUTE_NOT_FOUND'],
    ['by path', request({ fields: { host: 'nobody.test' }, target: '/any' }), 'any /any'],
  ] as const) {
    test(name, () => assert.equal(judge(head), expected));
  }
});

describe('what is refused', () => {
  for (const [name, head, expected] of [
    ['no Host', request({ fields: {} }), '400 REQUEST_HOST, close'],
    ['two Hosts', request({ fields: { Host: ['app.test', 'app.test'] } }), '400 REQUEST_HOST, close'],
    ['a Host that is none', request({ fields: { Host: 'a/b' } }), '400 REQUEST_HOST, close'],
    ['a target against Host', request({ target: 'http://evil.test/' }), '400 REQUEST_HOST, close'],
    ['a target against the port of Host', request({ target: 'http://app.test:1/' }), '400 REQUEST_HOST, close'],
    ['a target with a user', request({ target: 'http://u@app.test/', fields: {} }), '400 REQUEST_HOST, close'],
    [':authority against Host', request({ version: '2.0', authority: 'evil.test' }), '400 REQUEST_HOST, close'],
    [
      ':authority with a user',
      request({ version: '2.0', authority: 'u@app.test', fields: {} }),
      '400 REQUEST_HOST, close',
    ],
    [
      'a target in HTTP/2 against :authority',
      request({ version: '2.0', authority: 'app.test', target: 'http://evil.test/' }),
      '400 REQUEST_HOST, close',
    ],
    ['another scheme', request({ target: 'ftp://app.test/' }), '400 REQUEST_MALFORMED, close'],
    ['*', request({ method: 'OPTIONS', target: '*' }), '400 REQUEST_MALFORMED, close'],
    ['* in absolute form', request({ method: 'OPTIONS', target: 'http://app.test' }), '400 REQUEST_MALFORMED, close'],
    ['a fragment', request({ target: '/a#b' }), '400 REQUEST_MALFORMED, close'],
    ['a space', request({ target: '/a b' }), '400 REQUEST_MALFORMED, close'],
    ['bytes beyond ASCII', request({ target: '/\xe9' }), '400 REQUEST_MALFORMED, close'],
    ['an empty target', request({ target: '' }), '400 REQUEST_MALFORMED, close'],
    ['CONNECT', request({ method: 'CONNECT', target: 'app.test:443' }), '405 REQUEST_METHOD, close'],
    ['TRACE', request({ method: 'TRACE' }), '405 REQUEST_METHOD, close'],
    [
      'chunks in HTTP/1.0',
      request({ version: '1.0', fields: { Host: 'app.test', TE: 'x', 'Transfer-Encoding': 'chunked' } }),
      '400 REQUEST_FRAMING, close',
    ],
    [
      'chunks in HTTP/2',
      request({ version: '2.0', fields: { Host: 'app.test', 'transfer-encoding': 'chunked' } }),
      '400 REQUEST_FRAMING, close',
    ],
    [
      'another expectation',
      request({ fields: { Host: 'app.test', Expect: '100-continue, x' } }),
      '417 REQUEST_MALFORMED, close',
    ],
  ] as const) {
    test(name, () => assert.equal(judge(head), expected));
  }

  test('every framing but one length, or chunked alone (RFC 9112 §6.3)', () => {
    const lengths = fc.array(
      fc.oneof(fc.nat().map(String), fc.constantFrom('', '+1', '1,1', '0x1', '1 1', '-1', '1'.repeat(16))),
      { maxLength: 2 },
    );
    const encodings = fc.array(
      fc.constantFrom('chunked', 'Chunked', 'gzip', 'gzip, chunked', 'chunked, chunked', 'identity', ''),
      { maxLength: 2 },
    );
    fc.assert(
      fc.property(lengths, encodings, (length, encoding) => {
        const head = request({
          fields: { Host: 'app.test', 'Content-Length': length, 'Transfer-Encoding': encoding },
          hasBody: true,
        });
        const clear =
          length.length + encoding.length === 0 ||
          (encoding.length === 0 && length.length === 1 && /^[0-9]{1,15}$/.test(length[0] ?? '')) ||
          (length.length === 0 && encoding.length === 1 && encoding[0]?.toLowerCase() === 'chunked');
        assert.equal(judge(head), clear ? 'app /' : '400 REQUEST_FRAMING, close');
      }),
    );
  });
});

describe('whether a request may come by this connection (RFC 9113 §9.1.1)', () => {
  const over2 = (host: string) => request({ version: '2.0', authority: host, fields: {} });
  const anonymous = { ...client, certificate: { id: 'none', fingerprint256: '', names: [] } };

  test('HTTP/2: its certificate covers the host', () => assert.equal(judge(over2('x.app.test')), 'app /'));
  test('HTTP/2: the same certificate would be chosen for it', () => assert.equal(judge(over2('alias.test')), 'app /'));
  test('HTTP/2: another certificate is there for it', () =>
    assert.equal(judge(over2('other.test')), '421 REQUEST_MISDIRECTED'));
  test('HTTP/2: a wildcard covers one label only', () => {
    const certificateFor = () => 'default';
    const decision = decide(over2('a.b.app.test'), client, { ...context, certificateFor });
    assert.equal(decision.kind === 'refuse' && decision.status, 421);
  });
  test('HTTP/2: it is not known what the client was shown', () =>
    assert.equal(judge(over2('app.test'), anonymous), '421 REQUEST_MISDIRECTED'));
  test('HTTP/1.1 does not share connections between hosts', () => {
    assert.equal(judge(request({ fields: { host: 'other.test' } })), 'app /');
  });
});

test('the body is asked for only from those who understand that, and have one', () => {
  const expecting = (head: Partial<RequestHead>) => {
    const fields = { Host: 'app.test', Expect: '100-Continue ' };
    const decision = decide(request({ fields, hasBody: true, ...head }), client, context);
    return decision.kind === 'forward' && decision.expectsContinue;
  };
  assert.deepEqual([expecting({}), expecting({ version: '1.0' }), expecting({ hasBody: false })], [true, false, false]);
});

test('whatever comes, what goes on is a clean path to a host that was named', () => {
  const target = fc.oneof(
    fc.webUrl(),
    fc.webPath(),
    fc.string(),
    fc.string().map((text) => `/${text}`),
  );
  fc.assert(
    fc.property(target, fc.oneof(fc.constant('app.test'), fc.domain(), fc.string()), (target, host) => {
      const decision = decide(request({ target, fields: { Host: host } }), client, context);
      if (decision.kind === 'refuse') return;
      assert.match(decision.path, /^\/[\x21-\x7e]*$/);
      assert.ok(!decision.path.includes('#'));
      assert.deepEqual(decision.fields.headers.slice(0, 1), ['host']);
      assert.match(decision.fields.headers[1] ?? '', /^[A-Za-z0-9._:[\]-]+$/);
    }),
  );
});

describe('fields that were sent before', () => {
  const sent = (head: RequestHead, facts: ClientFacts = client) => {
    const decision = decide(head, facts, context);
    assert.ok(decision.kind === 'forward');
    return decision;
  };
  const like = (head: Partial<RequestHead>, memo: FieldMemo) => ({
    ...request({ fields: { Host: 'app.test', X: 'a' } }),
    ...head,
    memo,
  });

  test('are sent again as they are, with an id of their own for each request', () => {
    const memo: FieldMemo = { read: null, sent: null };
    const [first, second] = [sent(like({}, memo)), sent(like({ target: '/other' }, memo))];
    assert.equal(second.fields, first.fields);
    assert.notEqual(second.requestId, first.requestId);
    assert.equal(second.path, '/other');
    assert.deepEqual(first.fields.headers, sent(request({ fields: { Host: 'app.test', X: 'a' } })).fields.headers);
  });

  test('are written anew where the certificate, the client or the method makes them others', () => {
    const memo: FieldMemo = { read: null, sent: null };
    const before = sent(like({}, memo)).fields;
    const other = { ...client, certificate: { ...client.certificate, id: 'other' } };
    assert.notEqual(sent(like({}, memo), other).fields, before);
    const post = sent(like({ method: 'POST' }, memo)).fields;
    assert.deepEqual(post.headers.slice(-2), ['content-length', '0']);
    assert.equal(sent(like({}, memo)).fields.headers.includes('content-length'), false);
    const admitted = { chain: [], resumed: false, fault: null } as unknown as ClientCertificate;
    const known = sent(like({}, memo)).fields;
    const shown = { ...client, admit: () => ({ kind: 'admit', certificate: admitted }) as const };
    assert.notEqual(sent(like({}, memo), shown).fields, known);
  });

  test('do not spare a request what is asked of each', () => {
    const memo: FieldMemo = { read: null, sent: null };
    sent(like({}, memo));
    const refused = { ...client, admit: () => refuse(403, 'CLIENT_CERTIFICATE_REQUIRED') };
    assert.equal(decide(like({}, memo), refused, context).kind, 'refuse');
    assert.equal(decide(like({ target: '/#' }, memo), client, context).kind, 'refuse');
  });
});
