import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Router } from '../../src/proxy/index.ts';

describe('Router', () => {
  test('the first route that matches wins', () => {
    const router = new Router([
      { hosts: ['app.test'], path: '/api', upstream: 'api' },
      { hosts: ['app.test', '*.Shop.test.'], upstream: 'app' },
      { path: '/static/', upstream: 'files' },
    ]);
    const matches: [host: string, target: string, upstream: string | null][] = [
      ['app.test', '/api', 'api'],
      ['app.test', '/api/', 'api'],
      ['app.test', '/api/x?y', 'api'],
      ['app.test', '/api?y', 'api'],
      ['app.test', '/apis', 'app'],
      ['app.test', '/API', 'app'],
      ['app.test', '/', 'app'],
      ['a.shop.test', '/', 'app'],
      ['shop.test', '/', null],
      ['a.b.shop.test', '/', null],
      ['evilshop.test', '/', null],
      ['xapp.test', '/', null],
      ['other.test', '/static/x', 'files'],
      ['other.test', '/static', 'files'],
      ['other.test', '/x?/static/', null],
      ['', '/', null],
    ];
    for (const [host, target, upstream] of matches) {
      assert.equal(router.match(host, target), upstream, `${host} ${target}`);
    }
  });

  test('a route without host and path takes everything', () => {
    const router = new Router([{ upstream: 'all' }]);
    fc.assert(fc.property(fc.domain(), fc.webPath(), (host, path) => router.match(host, `/${path}`) === 'all'));
  });

  test('an empty list of hosts matches none', () => {
    assert.equal(new Router([{ hosts: [], upstream: 'none' }]).match('app.test', '/'), null);
  });

  test('a prefix is one of whole segments', () => {
    const segment = fc.stringMatching(/^[a-z0-9]{1,5}$/);
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1 }), segment, (segments, more) => {
        const path = `/${segments.join('/')}`;
        const router = new Router([{ path, upstream: 'in' }]);
        assert.equal(router.match('a', `${path}/${more}`), 'in');
        assert.equal(router.match('a', `${path}?${more}`), 'in');
        assert.equal(router.match('a', `${path}${more}`), null);
      }),
    );
  });
});
