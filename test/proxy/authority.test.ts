import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseAuthority } from '../../src/proxy/index.ts';

describe('parseAuthority (RFC 9110 §7.2)', () => {
  for (const [text, host, port] of [
    ['app.test', 'app.test', null],
    ['APP.Test', 'app.test', null],
    ['app.test.', 'app.test', null],
    ['app.test:8443', 'app.test', 8443],
    ['app.test:', 'app.test', null],
    ['127.0.0.1:1', '127.0.0.1', 1],
    ['[::1]', '::1', null],
    ['[2001:DB8::1]:443', '2001:db8::1', 443],
    ['[::ffff:127.0.0.1]', '::ffff:127.0.0.1', null],
    ['my_service-1', 'my_service-1', null],
  ] as const) {
    test(`${text} is ${host}`, () => assert.deepEqual(parseAuthority(text), { text, host, port }));
  }

  for (const text of [
    ...['', '.', 'a..b', '.a', 'a.test..', ':80', 'a:b', 'a:65536', 'a:-1', 'a: 80', 'a:80:80'],
    ...['a b', 'a/b', 'a?b', 'a#b', 'a@b', 'a\\b', 'a,b', "a'b", 'a"b', 'a%41', 'a*', 'a;b', 'ä.test', 'a\0', 'a\n'],
    ...['::1', '[::1', '::1]', '[]', '[:::1]', '[1.2.3.4]', '[::1%eth0]', '[v1.a]', '[::1]x', '[::1]:x'],
  ]) {
    test(`${JSON.stringify(text)} is refused`, () => assert.equal(parseAuthority(text), null));
  }

  test('what it takes is whole, and says the same when it is read again', () => {
    fc.assert(
      fc.property(fc.oneof(fc.domain(), fc.ipV4(), fc.string()), fc.option(fc.nat(70_000)), (name, port) => {
        const text = port === null ? name : `${name}:${port}`;
        const authority = parseAuthority(text);
        if (!authority) return;
        assert.equal(authority.text, text);
        assert.match(authority.host, /^[a-z0-9._:-]+$/);
        assert.equal(authority.host, authority.host.toLowerCase());
        if (!authority.host.includes(':')) assert.equal(parseAuthority(authority.host)?.host, authority.host);
      }),
    );
  });

  test('every domain and address is taken', () => {
    fc.assert(fc.property(fc.domain(), (name) => parseAuthority(name) !== null));
    fc.assert(fc.property(fc.ipV6(), (address) => parseAuthority(`[${address}]:1`) !== null));
  });
});
