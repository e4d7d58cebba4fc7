import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Leaf } from '../../test/support/pki.ts';

/** What must not come out, in every form in which it could: raw, as hex, as base64, as a line of PEM. */
export class HiddenSecrets {
  readonly #forms: { readonly what: string; readonly form: Buffer }[] = [];

  /** @param bytes at least 12 of them, or they would be found by chance */
  add(what: string, bytes: Buffer | string): this {
    const raw = Buffer.from(bytes as string);
    const base64 = raw.toString('base64').replace(/=+$/, '');
    const texts = [raw.toString('hex'), raw.toString('hex').toUpperCase(), base64, raw.toString('base64url')];
    this.#forms.push({ what, form: raw }, ...texts.map((text) => ({ what, form: Buffer.from(text) })));
    return this;
  }

  addKey(what: string, leaf: Leaf): this {
    for (const pem of [leaf.keyPem, leaf.keyPemTraditional]) {
      const key = createPrivateKey(pem);
      for (const type of ['pkcs8', 'sec1'] as const) this.add(what, key.export({ format: 'der', type }));
      this.add(what, Buffer.from(String(key.export({ format: 'jwk' })['d']), 'base64url'));
      for (const line of pem.split('\n').filter((one) => one.length > 15 && !one.startsWith('-----'))) {
        this.#forms.push({ what, form: Buffer.from(line) });
      }
    }
    return this;
  }

  /** That none of them is in what was found somewhere. */
  absentFrom(where: string, found: Buffer | string): void {
    const bytes = Buffer.from(found as string);
    for (const { what, form } of this.#forms) assert.ok(!bytes.includes(form), `${where} holds ${what}`);
    assert.doesNotMatch(bytes.toString('latin1'), /PRIVATE KEY-----\s*[A-Za-z0-9+/]{16}/, where);
  }

  /** That none of them is in what the system shows of a process to its owner, or in files that it counts in. */
  async absentFromProcess(pid: number, files: readonly string[]): Promise<void> {
    for (const name of ['cmdline', 'environ', 'maps', 'comm', 'status']) {
      this.absentFrom(`${name} of ${pid}`, await readFile(`/proc/${pid}/${name}`));
    }
    for (const file of files) this.absentFrom(`${file} of ${pid}`, await readFile(file));
  }
}
