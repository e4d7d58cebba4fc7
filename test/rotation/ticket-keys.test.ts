import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { Secret, type TicketKeyMaterial } from '../../src/certificates/index.ts';
import { finding } from '../../src/errors.ts';
import { deriveTicketKeys, TicketKeys, ticketKeyId } from '../../src/rotation/ticket-keys.ts';

const hour = 3_600_000;
const path = '/run/ticket.key';
const secret = () => new Secret(randomBytes(80).toString('base64'));
const material = (key = secret()): TicketKeyMaterial => ({ source: path, key });
const good = (one: TicketKeyMaterial) => ({ material: one, failure: null });
const invalid = finding('TICKET_KEYS_INVALID', 'error', { file: path, message: `${path} is empty` });
const fingerprint = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((one) => Buffer.from(one).toString('hex'));
const bundles = fc.dictionary(fc.string(), fingerprint, { maxKeys: 40, noNullPrototype: true });
const listed = (all: Record<string, string>) => Object.entries(all).map(([id, one]) => ({ id, fingerprint: one }));

test('keys follow from the secret and the set of bundles, whatever their order', () => {
  const key = secret();
  fc.assert(
    fc.property(bundles, (all) => {
      const keys = deriveTicketKeys(key, listed(all));
      assert.equal(keys.length, 48);
      assert.deepEqual(deriveTicketKeys(new Secret(key.reveal()), listed(all).reverse()), keys);
      assert.notDeepEqual(deriveTicketKeys(secret(), listed(all)), keys);
      assert.notDeepEqual(deriveTicketKeys(key, listed(all), secret()), keys);
    }),
  );
});

test('another set of bundles gives other keys, also when two exchange their contents', () => {
  const key = secret();
  fc.assert(
    fc.property(bundles, bundles, (a, b) => {
      const same = JSON.stringify(listed(a).sort(byId)) === JSON.stringify(listed(b).sort(byId));
      assert.equal(deriveTicketKeys(key, listed(a)).equals(deriveTicketKeys(key, listed(b))), same);
    }),
  );
  const exchanged = [
    { a: '1', b: '2' },
    { a: '2', b: '1' },
  ].map((all) => deriveTicketKeys(key, listed(all)));
  assert.notDeepEqual(exchanged[0], exchanged[1]);
});

test('what is derived does not change with a version: replicas are not updated at once', () => {
  const key = new Secret(Buffer.alloc(48, 'swivel').toString('base64'));
  const keys = deriveTicketKeys(key, [{ id: 'clients', fingerprint: 'ab'.repeat(32) }]);
  assert.equal(ticketKeyId(keys), 'dbdc1b3c');
});

test('keys that are made here are renewed when their time is over, by the clock', () => {
  const keys = new TicketKeys({ lifetime: 12 * hour });
  const at = (now: number) => {
    keys.read(null, now);
    const current = keys.keysFor([]);
    keys.committed(current, now);
    return ticketKeyId(current);
  };
  const first = at(hour);
  assert.equal(keys.renewAt, 13 * hour);
  assert.equal(at(13 * hour - 1), first);
  const second = at(13 * hour);
  assert.notEqual(second, first);
  assert.equal(keys.renewAt, 25 * hour);
  // A clock that is set back does not keep them for longer than one lifetime.
  assert.equal(at(2 * hour), second);
  assert.equal(keys.renewAt, 14 * hour);
  assert.notEqual(at(14 * hour), second);
});

test('two that have the same file agree, and no schedule changes that', () => {
  const one = material();
  const [a, b] = [new TicketKeys({ lifetime: hour }), new TicketKeys({ lifetime: 2 * hour })];
  a.read(good(one), 0);
  b.read(good({ ...one, source: '/elsewhere' }), 5);
  assert.deepEqual(a.keysFor([]), b.keysFor([]));
  assert.equal(a.renewAt, null);
  a.read(good(one), 100 * hour);
  assert.deepEqual(a.keysFor([]), b.keysFor([]));
});

test('of a file that became bad the last good key stays; without one the keys are made here meanwhile', () => {
  const one = material();
  const keys = new TicketKeys({ lifetime: hour });
  keys.read({ material: null, failure: invalid }, 0);
  const made = keys.keysFor([]);
  assert.deepEqual(
    [keys.status.source, keys.status.diskMatchesServed, keys.status.lastError?.code, keys.renewAt],
    ['made', false, 'TICKET_KEYS_INVALID', hour],
  );
  keys.read(good(one), 1);
  const fromFile = keys.keysFor([]);
  assert.notDeepEqual(fromFile, made);
  assert.deepEqual([keys.status.source, keys.status.diskMatchesServed, keys.status.lastError], [path, true, null]);
  keys.read({ material: null, failure: invalid }, 2);
  assert.deepEqual(keys.keysFor([]), fromFile);
  assert.deepEqual([keys.status.source, keys.status.diskMatchesServed], [path, false]);
});

test('a compromise departs from the file until that changes, and from what it held for ever', () => {
  const [one, other] = [material(), material()];
  const keys = new TicketKeys({ lifetime: hour });
  const after = (reading: TicketKeyMaterial) => {
    keys.read(good(reading), 0);
    return ticketKeyId(keys.keysFor([]));
  };
  const first = after(one);
  assert.deepEqual(keys.warnings, []);
  keys.compromise(1);
  const apart = after(one);
  assert.notEqual(apart, first);
  assert.deepEqual(
    keys.warnings.map(({ code, severity, file }) => [code, severity, file]),
    [['TICKET_KEYS_COMPROMISED', 'warning', path]],
  );
  assert.equal(keys.status.diskMatchesServed, false);
  const renewed = after(other);
  assert.equal(renewed, ticketKeyId(deriveTicketKeys(other.key, [])));
  assert.deepEqual([keys.warnings, keys.status.diskMatchesServed], [[], true]);
  // Swapped back on disk.
  assert.equal(after(one), apart);
});

test('a compromise renews keys that were made here, and their time begins anew', () => {
  const keys = new TicketKeys({ lifetime: hour });
  keys.read(null, 0);
  const before = keys.keysFor([]);
  keys.compromise(10);
  assert.notDeepEqual(keys.keysFor([]), before);
  assert.deepEqual([keys.renewAt, keys.warnings], [hour + 10, []]);
});

test('status tells which keys are in effect since when, and nothing secret', () => {
  const one = material();
  const keys = new TicketKeys({ lifetime: hour });
  assert.deepEqual([keys.status.id, keys.status.since], [null, null]);
  keys.read(good(one), 0);
  keys.compromise(0);
  const current = keys.keysFor([]);
  assert.deepEqual(keys.committed(current, 5), { source: path, id: ticketKeyId(current), cause: 'compromise' });
  assert.equal(keys.committed(current, 6), null);
  assert.deepEqual([keys.status.id, keys.status.since], [ticketKeyId(current), '1970-01-01T00:00:00.005Z']);
  const secrets = [one.key.reveal(), current.toString('hex'), current.toString('base64')];
  for (const text of [inspect(keys, { depth: 9, showHidden: true }), JSON.stringify([keys, keys.status])]) {
    for (const hidden of secrets) assert.ok(!text.includes(hidden));
  }
});

function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : 1;
}
