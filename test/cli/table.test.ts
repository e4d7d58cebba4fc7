import assert from 'node:assert/strict';
import { test } from 'node:test';
import { table } from '../../src/cli/table.ts';

test('columns are as wide as their widest cell, and nothing trails', () => {
  const rows = [
    ['a', 'long cell', ''],
    ['longest id', 'b', 'x'],
  ];
  assert.equal(
    table(['ID', 'TWO', 'N'], rows),
    'ID          TWO        N\na           long cell\nlongest id  b          x\n',
  );
  assert.equal(table(['ID', 'N'], []), 'ID  N\n');
  assert.equal(table(['ID', 'N'], [['a']]), 'ID  N\na\n');
});
