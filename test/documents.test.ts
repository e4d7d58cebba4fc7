import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { jsonSchema } from '../src/config/index.ts';
import { catalogue } from '../src/errors.ts';
import { createMetrics } from '../src/observe/index.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');

test('the README explains every error code as the catalogue does, and no other', () => {
  const rows = [...readme.matchAll(/^\| `([A-Z][A-Z0-9_]+)` \| (.+?) \| (.+?) \|$/gm)].map((row) => row.slice(1, 4));
  const expected = Object.entries(catalogue).map(([code, { summary, remedy }]) => [code, summary, remedy]);
  assert.deepEqual(rows, expected);
});

test('the README names every metric, and no other', async () => {
  const metrics = await createMetrics({ version: 'test' }).registry.getMetricsAsJSON();
  const known = metrics.map(({ name }) => name.replace(/^swivel_/, '')).sort();
  const section = readme.slice(readme.indexOf('## Metrics'), readme.indexOf('## ', readme.indexOf('## Metrics') + 3));
  const named = [...section.matchAll(/^\| `([a-z_0-9]+)(?:\{[^`]*\})?` \|/gm)].map((row) => row[1] as string).sort();
  assert.deepEqual(named, known);
});

interface SchemaNode {
  readonly properties?: Record<string, SchemaNode>;
  readonly items?: SchemaNode;
  readonly additionalProperties?: SchemaNode | boolean;
}

test('the README names every setting of the configuration', () => {
  const missing: string[] = [];
  const visit = (node: SchemaNode, path: string) => {
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      if (!new RegExp(`\\b${key}:`).test(readme)) missing.push(`${path}${key}`);
      visit(child, `${path}${key}.`);
    }
    if (node.items) visit(node.items, path);
    if (typeof node.additionalProperties === 'object') visit(node.additionalProperties, path);
  };
  visit(jsonSchema() as SchemaNode, '');
  assert.deepEqual(missing, []);
});

test('every path that a document names exists', () => {
  for (const document of ['README.md', 'CHANGELOG.md']) {
    const text = readFileSync(join(root, document), 'utf8');
    for (const match of text.matchAll(/(?<![\w./-])((?:src|config|test|e2e|\.ci)\/[\w./-]*\w)/g)) {
      assert.ok(existsSync(join(root, match[1] as string)), `${document} names ${match[1]}`);
    }
  }
});
