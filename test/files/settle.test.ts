import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { FileIdentity } from '../../src/files/read.ts';
import { isWholeReplacement, settleDelay, settleTime } from '../../src/files/settle.ts';

const wall = 1_800_000_000_000;
const ns = (ms: number) => BigInt(ms) * 1_000_000n;
const identity = (over: Partial<FileIdentity> = {}): FileIdentity => ({
  device: 1n,
  inode: 10n,
  size: 100n,
  modifiedNs: ns(wall - 5),
  changedNs: ns(wall - 5),
  ...over,
});

describe('how long a file has to settle', () => {
  test('not at all when it was renamed or linked into place after it was written', () => {
    assert.equal(settleTime(identity({ changedNs: ns(wall - 4) }), undefined, wall), 0);
  });

  test('not at all when nobody wrote to it for a second', () => {
    const old = identity({ modifiedNs: ns(wall - 1000), changedNs: ns(wall - 1000) });
    assert.equal(settleTime(old, undefined, wall), 0);
  });

  test('not at all when its time is far in the future: a clock that was wrong must not hold it up for ever', () => {
    const future = identity({ modifiedNs: ns(wall + 3_600_000), changedNs: ns(wall + 3_600_000) });
    assert.equal(settleTime(future, undefined, wall), 0);
  });

  test('longer when the file that was there is written to, than when another one took its place', () => {
    assert.equal(settleTime(identity(), identity({ size: 90n }), wall), settleDelay.inPlace);
    assert.equal(settleTime(identity(), identity({ inode: 9n }), wall), settleDelay.replaced);
    assert.equal(settleTime(identity(), identity({ device: 2n }), wall), settleDelay.replaced);
    assert.equal(settleTime(identity(), undefined, wall), settleDelay.replaced);
    assert.ok(settleDelay.inPlace > settleDelay.replaced);
  });

  test('always a bounded time, whatever the clocks say', () => {
    const time = fc.bigInt({ min: 0n, max: 4n * ns(wall) });
    fc.assert(
      fc.property(time, time, fc.bigInt({ min: 1n, max: 3n }), (modifiedNs, changedNs, inode) => {
        const wait = settleTime(identity({ modifiedNs, changedNs }), identity({ inode }), wall);
        assert.ok([0, settleDelay.replaced, settleDelay.inPlace].includes(wait));
      }),
    );
  });
});

describe('a replacement that is whole at first sight', () => {
  const block = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
  const whole = (now: string, before: string) => isWholeReplacement(Buffer.from(now), Buffer.from(before));

  test('ends with a boundary and has as many blocks as the one before', () => {
    assert.equal(whole(block('b'), block('a')), true);
    assert.equal(whole(block('b').trimEnd(), block('a')), true);
    assert.equal(whole(block('b') + block('c'), block('a')), true);
  });

  test('no prefix of it is taken for the whole of it', () => {
    const before = block('leaf') + block('intermediate');
    const after = block('LEAF') + block('INTERMEDIATE');
    for (let length = 0; length < after.trimEnd().length; length += 1) {
      assert.equal(whole(after.slice(0, length), before), false, after.slice(0, length));
    }
  });

  test('what is not PEM never is', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => !isWholeReplacement(Buffer.from(bytes), Buffer.alloc(0))));
  });
});
