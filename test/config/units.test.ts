import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nearest, parseDuration, parseSize } from '../../src/config/index.ts';
import { durationPattern, sizePattern } from '../../src/config/units.ts';

const durations = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const sizes = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

test('a duration is its number times its unit, in milliseconds', () => {
  const number = fc.nat({ max: 100_000 });
  fc.assert(
    fc.property(number, fc.constantFrom(...Object.entries(durations)), (count, [unit, milliseconds]) => {
      assert.match(`${count}${unit}`, durationPattern);
      assert.equal(parseDuration(`${count}${unit}`), count * milliseconds);
    }),
  );
  assert.equal(parseDuration('1.5s'), 1500);
  assert.equal(parseDuration('0.5h'), 1_800_000);
});

test('a size is its number times its unit, in bytes', () => {
  fc.assert(
    fc.property(fc.nat({ max: 100_000 }), fc.constantFrom(...Object.entries(sizes)), (count, [unit, bytes]) => {
      assert.match(`${count}${unit}`, sizePattern);
      assert.equal(parseSize(`${count}${unit}`), count * bytes);
    }),
  );
});

test('what is nearly a duration or a size is none', () => {
  for (const text of ['', '30', 's', '-1s', '1 s', '1S', '1w', '.5s', '1.s', '1e3s', '1s ', '1h30m', '1s\n']) {
    assert.doesNotMatch(text, durationPattern, JSON.stringify(text));
  }
  for (const text of ['', '64', 'KiB', '-1B', '1 KiB', '64kb', '64KB', '1.5MiB', '1TiB', '0x1B', '1B\n']) {
    assert.doesNotMatch(text, sizePattern, JSON.stringify(text));
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      if (durationPattern.test(text)) assert.ok(parseDuration(text) >= 0);
      if (sizePattern.test(text)) assert.ok(parseSize(text) >= 0);
    }),
  );
});

test('a mistyped word is told from one that means something else', () => {
  const known = ['listeners', 'certificates', 'upstreams', 'routes'];
  assert.equal(nearest('listner', known), 'listeners');
  assert.equal(nearest('LISTENERS', known), 'listeners');
  assert.equal(nearest('certificate', known), 'certificates');
  assert.equal(nearest('route', known), 'routes');
  assert.equal(nearest('frobnicate', ['tls', 'log']), null);
  assert.equal(nearest('anything', []), null);
  fc.assert(
    fc.property(fc.constantFrom(...known), fc.nat({ max: 4 }), (word, at) => {
      assert.equal(nearest(word.slice(0, at) + word.slice(at + 1), known), word, 'a letter left out');
    }),
  );
});
