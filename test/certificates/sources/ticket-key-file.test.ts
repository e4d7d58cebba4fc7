import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { TicketKeyFileSource } from '../../../src/certificates/index.ts';
import { parseTicketKeys } from '../../../src/certificates/sources/ticket-key-format.ts';
import { KubernetesVolume, temporaryDirectory, writeAtomically } from '../../support/files.ts';
import { bounded } from '../../support/swivel.ts';

const bytesOf = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((one) => Buffer.from(one));
const isText = (key: Buffer) => /^[\x20-\x7e\r\n\t]*$/.test(key.toString('latin1'));
const keyOf = (length: number) => bytesOf(length).filter((key) => new Set(key).size > 1 && !isText(key));
const length = fc.constantFrom(48, 80);
const eol = fc.constantFrom('\n', '\r\n', ' \n', '\n\n');
const parsed = (content: string | Buffer) => parseTicketKeys(Buffer.from(content));

describe('the format of a file of ticket keys', () => {
  test('one key of 48 or 80 raw bytes, as nginx has it', () => {
    fc.assert(
      fc.property(length.chain(keyOf), (key) => {
        assert.deepEqual(parsed(key), { key });
      }),
    );
  });

  test('keys in base64, as HAProxy has them: the last but one seals, or the only one', () => {
    const keys = length.chain((n) => fc.array(keyOf(n), { minLength: 1, maxLength: 6 }));
    fc.assert(
      fc.property(keys, eol, fc.boolean(), (all, end, ends) => {
        const text = all.map((key) => key.toString('base64')).join(end) + (ends ? end : '');
        assert.deepEqual(parsed(text), { key: all[Math.max(0, all.length - 2)] });
      }),
    );
  });

  test('anything else is no key, and nothing of it is told', () => {
    const junk = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).filter(({ length: n }) => n !== 48 && n !== 80),
      fc.string({ minLength: 1, maxLength: 80 }).map((text) => Buffer.from(text)),
      // One character is missing, or too many.
      fc.tuple(keyOf(48), fc.constantFrom(-1, 1)).map(([key, by]) => {
        const line = key.toString('base64');
        return Buffer.from(by < 0 ? line.slice(1) : `A${line}`);
      }),
    );
    fc.assert(
      fc.property(junk, (content) => {
        const result = parsed(Buffer.from(content));
        assert.ok('fault' in result);
        assert.match(result.fault, /^(is empty|is \d+ bytes long, and )?(holds [a-z0-9, -]+)?$/);
      }),
    );
  });

  test('a key cut short, of one byte repeated, or of another length than the others is refused', () => {
    const [short, long] = [randomBytes(48).toString('base64'), randomBytes(80).toString('base64')];
    const refused: readonly (readonly [string | Buffer, RegExp])[] = [
      ['', /is empty/],
      ['\n\n', /empty lines/],
      [Buffer.alloc(48), /one byte repeated/],
      [Buffer.alloc(80, 1), /one byte repeated/],
      [Buffer.alloc(48).toString('base64'), /line 1 of one byte repeated/],
      [long.slice(0, 80), /80 characters of text/],
      [long.slice(0, 48), /48 characters of text/],
      [`${short}\n${long}`, /keys of 48 and keys of 80 bytes/],
      [`${short}\n${short.slice(0, 30)}`, /line 2/],
      [`${short}\n# ${short}`, /line 2/],
      [randomBytes(32), /32 bytes long/],
    ];
    for (const [content, fault] of refused) {
      const result = parsed(content);
      assert.match('fault' in result ? result.fault : 'a key', fault);
    }
  });
});

describe('a file of ticket keys as a source', () => {
  const [first, second] = [randomBytes(48), randomBytes(80)];

  async function loaded(source: TicketKeyFileSource, thorough = false) {
    const { identities, ticketKeys, findings, watch } = await source.load({ thorough });
    assert.deepEqual(identities, []);
    assert.ok(watch.length > 0);
    const codes = findings.map(({ code, severity, file, identity }) => [code, severity, file, identity]);
    return { key: ticketKeys?.key.reveal(), codes, ticketKeys };
  }

  test('gives the key, sees changes however they are written, and a change back', bounded, async (t) => {
    const path = join(await temporaryDirectory(t), 'ticket.key');
    const source = new TicketKeyFileSource(path);
    for (const write of [writeAtomically, writeFile]) {
      for (const [i, key] of [first, second, first].entries()) {
        await write(path, key);
        assert.deepEqual((await loaded(source, i === 2)).key, key.toString('base64'));
      }
    }
  });

  test('follows the swap of a Kubernetes volume', bounded, async (t) => {
    const volume = new KubernetesVolume(join(await temporaryDirectory(t), 'keys'));
    await volume.update({ 'ticket.key': first });
    const source = new TicketKeyFileSource(join(volume.directory, 'ticket.key'));
    assert.equal((await loaded(source)).key, first.toString('base64'));
    await volume.update({ 'ticket.key': second });
    assert.equal((await loaded(source)).key, second.toString('base64'));
  });

  test('a file that is absent, a directory or invalid is an error of the whole source', bounded, async (t) => {
    const path = join(await temporaryDirectory(t), 'ticket.key');
    const source = new TicketKeyFileSource(path);
    assert.deepEqual(await loaded(source), {
      key: undefined,
      ticketKeys: undefined,
      codes: [['SOURCE_MISSING', 'error', path, undefined]],
    });
    await writeFile(path, first.subarray(1));
    assert.deepEqual((await loaded(source)).codes, [['TICKET_KEYS_INVALID', 'error', path, undefined]]);
    await writeAtomically(path, first);
    assert.deepEqual((await loaded(source)).codes, []);
    await rm(path);
    await mkdir(path);
    assert.deepEqual((await loaded(source)).codes, [['FILE_NOT_REGULAR', 'error', path, undefined]]);
  });

  test('the key is not printed with what the source gives', bounded, async (t) => {
    const path = join(await temporaryDirectory(t), 'ticket.key');
    await writeFile(path, first);
    const material = await new TicketKeyFileSource(path).load({ thorough: false });
    for (const text of [inspect(material, { depth: 9, showHidden: true }), JSON.stringify(material)]) {
      for (const encoding of ['base64', 'hex', 'latin1'] as const) assert.ok(!text.includes(first.toString(encoding)));
    }
  });
});
