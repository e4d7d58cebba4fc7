import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));

/** A room imports only rooms that stand before it. */
const order = [
  'catalogue',
  'version',
  'errors',
  'pace',
  'observe',
  'files',
  'certificates',
  'tls',
  'connections',
  'rotation',
  'http1',
  'upstream',
  'proxy',
  'cluster',
  'admin',
  'config',
  'plane',
  'app',
  'cli',
  'main',
];

function roomOf(path: string): string {
  const [first = ''] = path.replace(/^src\//, '').split('/');
  return first.replace(/\.ts$/, '');
}

function* importsOf(path: string): Iterable<string> {
  const text = readFileSync(join(root, path), 'utf8');
  for (const match of text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) yield match[1] as string;
}

const files = globSync('src/**/*.ts', { cwd: root });

test('every file stands in a room that is known', () => {
  assert.ok(files.length > 40);
  for (const file of files) assert.ok(order.includes(roomOf(file)), file);
});

test('imports go one way, and enter a room through its index', () => {
  const wrong: string[] = [];
  for (const file of files) {
    const room = roomOf(file);
    for (const specifier of importsOf(file)) {
      const target = normalize(join(dirname(file), specifier));
      const targetRoom = roomOf(target);
      if (targetRoom === room) continue;
      const later = order.indexOf(targetRoom) > order.indexOf(room);
      const entrance = target === `src/${targetRoom}.ts` || target === `src/${targetRoom}/index.ts`;
      if (later || !entrance) wrong.push(`${file} imports ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('a package has a reason in the README, and none is imported that is not declared', () => {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  for (const name of Object.keys(dependencies)) assert.match(readme, new RegExp(`\\| \`${name}\``), name);
  const used = new Set<string>();
  for (const file of files) {
    const text = readFileSync(join(root, file), 'utf8');
    for (const match of text.matchAll(/from '([^.'][^']*)'/g)) {
      const specifier = match[1] as string;
      if (!specifier.startsWith('node:')) used.add(specifier);
    }
  }
  assert.deepEqual([...used].sort(), Object.keys(dependencies).sort());
});
