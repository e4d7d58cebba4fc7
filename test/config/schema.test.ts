import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { jsonSchema } from '../../src/config/index.ts';

const regenerate =
  "node -e \"import('./src/config/index.ts').then(({ jsonSchema }) => fs.writeFileSync('config/swivel.schema.json', JSON.stringify(jsonSchema(), null, 2) + String.fromCharCode(10)))\"";

test('the JSON Schema that is shipped is the one of the code', () => {
  const shipped = readFileSync(new URL('../../config/swivel.schema.json', import.meta.url), 'utf8');
  const current = `${JSON.stringify(jsonSchema(), null, 2)}\n`;
  assert.ok(shipped === current, `config/swivel.schema.json is out of date; run:\n${regenerate}`);
});
