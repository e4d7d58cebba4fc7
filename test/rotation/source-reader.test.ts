import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '../../src/certificates/index.ts';
import { finding } from '../../src/errors.ts';
import { FileFault } from '../../src/files/index.ts';
import { SourceReader } from '../../src/rotation/source-reader.ts';
import { bounded } from '../support/swivel.ts';
import { authority, materialOf } from '../tls/support/identities.ts';
import { FakeSource } from './support/rotation.ts';

const leaf = await (await authority()).issue({ names: ['a.test'] });
const bound = 20_000;

test('what did not change is not validated again', bounded, async () => {
  const source = new FakeSource('s', materialOf('a', leaf));
  const reader = new SourceReader(source, bound);
  const identity = async () => (await reader.read(true)).candidates.get('a')?.identity;
  const known = await identity();
  assert.ok(known);
  source.identities = [materialOf('a', leaf)];
  assert.equal(await identity(), known);
  source.identities = [{ ...materialOf('a', leaf), names: ['b.test'] }];
  assert.deepEqual((await identity())?.names, ['b.test']);
  source.identities = [{ ...materialOf('a', leaf), keyPem: new Secret('damaged') }];
  assert.equal(await identity(), null);
});

test(
  'a source that does not answer in time keeps what is known, and is not asked again until it has',
  bounded,
  async () => {
    const source = new FakeSource('s', materialOf('a', leaf));
    const answered = Promise.withResolvers<SourceReader>();
    const reader = new SourceReader(source, 200, answered.resolve);
    const { candidates } = await reader.read(true);
    assert.equal(candidates.size, 1);
    const gate = Promise.withResolvers<void>();
    source.gate = gate.promise;
    const state = await reader.read(true);
    assert.equal(state.failure?.code, 'SOURCE_TIMEOUT');
    assert.match(state.failure?.message ?? '', /within 200 ms/);
    assert.equal(state.candidates, candidates);
    assert.equal(await reader.read(true), state);
    assert.equal(source.loads, 2);
    gate.resolve();
    assert.equal(await answered.promise, reader);
    assert.equal((await reader.read(true)).failure, null);
    assert.equal(source.loads, 3);
  },
);

test('whatever a source throws is a failure by its code, and what was known stays', bounded, async () => {
  const source = new FakeSource('s', materialOf('a', leaf));
  const reader = new SourceReader(source, bound);
  const { candidates } = await reader.read(true);
  const failure = async (error: unknown) => {
    source.gate = Promise.reject(error);
    const state = await reader.read(true);
    assert.equal(state.candidates, candidates);
    return [state.failure?.code, state.failure?.file];
  };
  assert.deepEqual(await failure(new FileFault('SNAPSHOT_UNSTABLE', '/s/a.crt', 'moving')), [
    'SNAPSHOT_UNSTABLE',
    '/s/a.crt',
  ]);
  assert.deepEqual(await failure(new TypeError('odd')), ['SOURCE_UNREADABLE', 's']);
  assert.equal((await reader.read(true)).failure, null);
});

test('a source that is wrong as a whole keeps what was known; one wrong identity is wrong alone', bounded, async () => {
  const source = new FakeSource('s', materialOf('a', leaf));
  const reader = new SourceReader(source, bound);
  const { candidates } = await reader.read(true);
  source.identities = [];
  source.findings = [finding('SOURCE_EMPTY', 'error', { file: '/s' })];
  const empty = await reader.read(true);
  assert.equal(empty.failure?.code, 'SOURCE_EMPTY');
  assert.equal(empty.candidates, candidates);
  source.identities = [materialOf('a', leaf)];
  source.findings = [finding('CERT_MISSING', 'error', { identity: 'b', file: '/s/b.key' })];
  const partial = await reader.read(true);
  assert.equal(partial.failure, null);
  assert.ok(partial.candidates.get('a')?.identity);
  assert.equal(partial.candidates.get('b')?.findings[0]?.code, 'CERT_MISSING');
});
