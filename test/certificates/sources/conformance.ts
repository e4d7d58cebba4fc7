import assert from 'node:assert/strict';
import { isAbsolute } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import {
  type CertificateSource,
  type SourceMaterial,
  type ValidatedIdentity,
  validate,
} from '../../../src/certificates/index.ts';
import type { Finding } from '../../../src/errors.ts';
import { createAuthority, type Leaf } from '../../support/pki.ts';
import { damaged, truncated } from '../support/material.ts';

/** What a writer puts on disk. A broken one is a leaf with parts of it replaced. */
export type Contents = Pick<Leaf, 'certificatePem' | 'chainPem' | 'keyPem'>;

/** A source over a place that has its own way of being written to. */
export interface SourceFixture {
  readonly source: CertificateSource;
  /** The id of the one identity. */
  readonly identity: string;
  /** Set when the source learns what to watch by loading. */
  readonly learnsWatch?: true;
  /** Set when the source fills a place that holds nothing. */
  readonly fillsItself?: true;
  put(contents: Contents): Promise<void>;
  /** Removes what `put` wrote. */
  clear(): Promise<void>;
}

/** A fixture of a source that holds many identities. */
export interface WideFixture extends SourceFixture {
  /** Puts a second identity beside the first. */
  putNeighbour(contents: Contents): Promise<void>;
}

interface Loaded {
  readonly material: SourceMaterial;
  readonly served: readonly ValidatedIdentity[];
  readonly findings: readonly Finding[];
}

async function load({ source }: SourceFixture, thorough = false): Promise<Loaded> {
  const material = await source.load({ thorough });
  const validations = material.identities.map((one) => validate(one));
  return {
    material,
    served: validations.flatMap(({ identity }) => identity ?? []),
    findings: [...material.findings, ...validations.flatMap(({ findings }) => findings)],
  };
}

const served = async (fixture: SourceFixture, thorough?: boolean) =>
  (await load(fixture, thorough)).served.map(({ id, chainPem, keyPem }) => ({ id, chainPem, key: keyPem.reveal() }));

const expected = ({ identity }: SourceFixture, { chainPem, keyPem }: Leaf) => [{ id: identity, chainPem, key: keyPem }];

function contents({ certificatePem, chainPem, keyPem }: Leaf, replaced: Partial<Contents> = {}): Contents {
  return { certificatePem, chainPem, keyPem, ...replaced };
}

async function twoLeaves(): Promise<[Leaf, Leaf]> {
  const authority = await (await createAuthority()).intermediate();
  return [await authority.issue({ names: ['a.test'] }), await authority.issue({ names: ['a.test'] })];
}

/** Registers the tests that every source passes, however its files are written. */
export function conforms(name: string, makeSource: (t: TestContext) => Promise<SourceFixture>): void {
  describe(name, { concurrency: true }, () => {
    let first: Leaf;
    let second: Leaf;

    before(async () => {
      [first, second] = await twoLeaves();
    });

    const filled = async (t: TestContext) => {
      const fixture = await makeSource(t);
      await fixture.put(contents(first));
      return fixture;
    };
    test('loads, without findings', async (t) => {
      const fixture = await filled(t);
      const { served, findings, material } = await load(fixture);
      assert.deepEqual(findings, []);
      assert.equal(served.length, 1);
      assert.equal(served[0]?.id, fixture.identity);
      assert.equal(served[0]?.source, fixture.source.id);
      assert.equal(served[0]?.chainPem, first.chainPem);
      assert.deepEqual(
        material.identities.map(({ source }) => source),
        [fixture.source.id],
      );
    });

    test('says what to watch, before and after loading, also when there is nothing', async (t) => {
      const fixture = await makeSource(t);
      const before = fixture.source.watch;
      const absent = (await fixture.source.load({ thorough: false })).watch;
      await fixture.put(contents(first));
      const after = (await fixture.source.load({ thorough: false })).watch;
      for (const targets of fixture.learnsWatch ? [absent, after] : [before, absent, after]) {
        assert.ok(targets.length > 0);
        for (const { directory } of targets) assert.ok(isAbsolute(directory), directory);
      }
    });

    for (const thorough of [false, true]) {
      test(`sees a change, and a change back, under the same id (thorough: ${thorough})`, async (t) => {
        const fixture = await filled(t);
        assert.deepEqual(await served(fixture, thorough), expected(fixture, first));
        await fixture.put(contents(second));
        assert.deepEqual(await served(fixture, thorough), expected(fixture, second));
        await fixture.put(contents(first));
        assert.deepEqual(await served(fixture, thorough), expected(fixture, first));
      });

      test(`gives the same again when nothing changed (thorough: ${thorough})`, async (t) => {
        const fixture = await filled(t);
        const one = await load(fixture);
        const two = await load(fixture, thorough);
        const { since, ...material } = two.material;
        assert.deepEqual(material, one.material);
        if (since) assert.deepEqual(since, { identities: one.material.identities, changed: new Map() });
        assert.deepEqual(
          two.material.identities.map(({ keyPem }) => keyPem.reveal()),
          one.material.identities.map(({ keyPem }) => keyPem.reveal()),
        );
        assert.equal(two.served[0]?.fingerprint, one.served[0]?.fingerprint);
      });
    }

    test('rewriting the same changes no fingerprint', async (t) => {
      const fixture = await filled(t);
      const one = await load(fixture);
      await fixture.put(contents(first));
      const two = await load(fixture);
      assert.equal(two.served[0]?.fingerprint, one.served[0]?.fingerprint);
      assert.ok(two.served[0]);
    });

    for (const [what, breaking] of [
      ['an empty certificate', () => ({ certificatePem: '', chainPem: '' })],
      ['no PEM', () => ({ certificatePem: 'nothing\n', chainPem: 'nothing\n' })],
      ['a truncated certificate', () => cut(first, truncated)],
      ['a damaged certificate', () => cut(first, damaged)],
      ['an empty key', () => ({ keyPem: '' })],
      ['a truncated key', () => ({ keyPem: truncated(first.keyPem) })],
      ['a damaged key', () => ({ keyPem: damaged(first.keyPem) })],
      ['the key of another', () => ({ keyPem: second.keyPem })],
      ['an encrypted key without passphrase', () => ({ keyPem: first.encryptedKeyPem('correct horse') })],
    ] as const) {
      test(`${what} is a finding, and gone once it is repaired`, async (t) => {
        const fixture = await filled(t);
        await load(fixture);
        const broken = contents(first, breaking());
        await fixture.put(broken);
        const { served: left, findings } = await load(fixture);
        assert.deepEqual(left, []);
        assertWellMade(findings, fixture.identity);
        assertSilent(findings, [broken.keyPem, first.keyPem]);
        await fixture.put(contents(second));
        assert.deepEqual(await served(fixture), expected(fixture, second));
      });
    }

    test('nothing at all is a finding, and gone once there is something', async (t) => {
      const fixture = await makeSource(t);
      // There is never nothing.
      if (fixture.fillsItself) return;
      assertMissing(await load(fixture));
      await fixture.put(contents(first));
      assert.deepEqual(await served(fixture), expected(fixture, first));
      await fixture.clear();
      assertMissing(await load(fixture));
      await fixture.put(contents(second));
      assert.deepEqual(await served(fixture), expected(fixture, second));
    });
  });
}

/** Registers the tests of a source that holds many identities: one that is broken is no matter of the others. */
export function isolates(name: string, makeSource: (t: TestContext) => Promise<WideFixture>): void {
  test(`${name}: one broken identity does not affect another`, async (t) => {
    const [first, second] = await twoLeaves();
    const fixture = await makeSource(t);
    await fixture.put(contents(first));
    await fixture.putNeighbour(contents(second));
    assert.equal((await load(fixture)).served.length, 2);
    await fixture.putNeighbour(contents(second, { keyPem: truncated(second.keyPem) }));
    assert.deepEqual(await served(fixture), expected(fixture, first));
    await fixture.putNeighbour(contents(second));
    await fixture.put(contents(first, { certificatePem: '', chainPem: '' }));
    const { served: left, findings } = await load(fixture);
    assert.deepEqual(
      left.map(({ chainPem }) => chainPem),
      [second.chainPem],
    );
    assertWellMade(findings, fixture.identity);
  });
}

function cut(leaf: Leaf, by: (pem: string) => string): Partial<Contents> {
  const certificatePem = by(leaf.certificatePem);
  // The two begin alike, so that a writer that stores the rest of the chain apart finds where to cut.
  return { certificatePem, chainPem: certificatePem };
}

/** Each finding says what is wrong, where, with whom and what to do; with one of them nothing can be served. */
function assertWellMade(findings: readonly Finding[], identity: string): void {
  assert.ok(findings.some(({ severity }) => severity === 'error'));
  for (const finding of findings) {
    assert.ok(finding.file && isAbsolute(finding.file), finding.message);
    assert.ok(finding.message.length > 0 && finding.remedy.length > 0);
    assert.equal(finding.identity, identity);
  }
}

function assertMissing({ served, findings }: Loaded): void {
  assert.deepEqual(served, []);
  assert.ok(findings.length > 0);
  for (const { code, severity, file } of findings) {
    assert.match(code, /^SOURCE_(MISSING|EMPTY)$/);
    assert.equal(severity, 'error');
    assert.ok(file);
  }
}

/** No line of a key shows in what was found. */
function assertSilent(findings: readonly Finding[], keys: readonly string[]): void {
  const shown = inspect(findings, { depth: null, showHidden: true });
  const lines = keys.flatMap((key) => key.split('\n')).filter((line) => line.length >= 16 && !line.startsWith('-----'));
  for (const line of lines) assert.ok(!shown.includes(line));
}
