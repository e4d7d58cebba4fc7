import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SessionCache } from '../../src/tls/session-cache.ts';

const idOf = (name: string) => Buffer.from(name.padEnd(32, '.'));

/** The beginning is what OpenSSL gives: SEQUENCE, INTEGER 1, INTEGER version. */
const sessionOf = (content: string, version = '0303', length = '819f'): Buffer =>
  Buffer.concat([Buffer.from(`30${length}0201010202${version}0402c02b`, 'hex'), Buffer.from(content)]);

function cacheOf({ capacity = 10, lifetime = 1000 }: { capacity?: number; lifetime?: number } = {}) {
  const clock = { now: 5000 };
  const cache = new SessionCache({ capacity, lifetime, now: () => clock.now });
  const keep = (name: string, session = sessionOf(name)) => cache.keep(idOf(name), session);
  const has = (name: string) => cache.find(idOf(name)) !== null;
  return { clock, cache, keep, has };
}

describe('a cache of sessions', () => {
  test('gives back the session of an id, and no other', () => {
    const { cache, keep } = cacheOf();
    keep('a');
    keep('b');
    assert.deepEqual(cache.find(idOf('a')), sessionOf('a'));
    assert.equal(cache.find(idOf('c')), null);
    assert.equal(cache.find(Buffer.alloc(0)), null);
    keep('a', sessionOf('again'));
    assert.deepEqual(cache.find(idOf('a')), sessionOf('again'));
    assert.equal(cache.size, 2);
  });

  test('holds as many as it may; the least recently used one goes', () => {
    const { cache, keep, has } = cacheOf({ capacity: 2 });
    keep('a');
    keep('b');
    assert.ok(has('a'));
    keep('c');
    assert.deepEqual([has('a'), has('b'), has('c'), cache.size], [true, false, true, 2]);
  });

  test('holds nothing when it may hold nothing', () => {
    const { cache, keep } = cacheOf({ capacity: 0 });
    keep('a');
    assert.equal(cache.size, 0);
  });

  test('gives no session after its time, however often it was used', () => {
    const { clock, cache, keep, has } = cacheOf({ lifetime: 1000 });
    keep('a');
    clock.now += 999;
    assert.ok(has('a'));
    clock.now += 1;
    assert.equal(has('a'), false);
    assert.equal(cache.size, 0);
  });

  test('lets go of what is out of date when something new comes', () => {
    const { clock, cache, keep } = cacheOf({ lifetime: 1000 });
    for (const name of ['a', 'b', 'c']) keep(name);
    clock.now += 1000;
    keep('d');
    assert.equal(cache.size, 1);
  });

  test('forgets everything, and goes on', () => {
    const { cache, keep, has } = cacheOf({ capacity: 2 });
    keep('a');
    keep('b');
    cache.forget();
    assert.deepEqual([has('a'), has('b'), cache.size], [false, false, 0]);
    for (const name of ['b', 'a', 'c']) keep(name);
    assert.deepEqual([has('a'), has('b'), has('c')], [true, false, true]);
  });

  test('keeps sessions of TLS 1.2 with an id, of any length, and nothing else', () => {
    const { cache, keep, has } = cacheOf();
    for (const length of ['7f', '819f', '8204d2', '83010000']) {
      keep(length, sessionOf('', '0303', length));
      assert.ok(has(length), length);
    }
    const others = [
      sessionOf('', '0304'),
      sessionOf('', '0302'),
      sessionOf('').subarray(0, 8),
      sessionOf('').subarray(1),
      Buffer.alloc(0),
      Buffer.from('30', 'hex'),
      Buffer.from('30ff', 'hex'),
      Buffer.from('a session'),
    ];
    for (const session of others) {
      keep('other', session);
      assert.equal(has('other'), false, session.toString('hex'));
    }
    cache.forget();
    cache.keep(Buffer.alloc(0), sessionOf(''));
    assert.equal(cache.size, 0);
  });

  test('behaves as a list with the least recently used one first would', () => {
    const names = ['a', 'b', 'c', 'd'];
    const name = fc.constantFrom(...names);
    const steps = fc.array(
      fc.record({
        does: fc.constantFrom('keep' as const, 'keep' as const, 'find' as const, 'find' as const, 'forget' as const),
        name,
      }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), steps, (capacity, all) => {
        const { cache, keep, has } = cacheOf({ capacity });
        let model: string[] = [];
        for (const step of all) {
          const known = model.includes(step.name);
          if (step.does === 'keep') keep(step.name);
          else if (step.does === 'forget') cache.forget();
          else assert.equal(has(step.name), known);
          if (step.does === 'find' && !known) continue;
          const used = step.does === 'forget' ? [] : [...model.filter((other) => other !== step.name), step.name];
          model = used.slice(-capacity);
          assert.equal(cache.size, model.length);
        }
        for (const one of names) assert.equal(has(one), model.includes(one));
      }),
    );
  });
});
