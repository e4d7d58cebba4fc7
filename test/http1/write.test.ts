import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FieldText, readRequest, requestText } from '../../src/http1/index.ts';

test('a head that is written says first where it goes, and that the connection is to be kept', () => {
  const text = requestText('POST', '/a?b', new FieldText(['host', 'app.test', 'X-A', '', 'content-length', '5']), [
    'x-id',
    '1',
  ]);
  assert.equal(
    text,
    'POST /a?b HTTP/1.1\r\nhost: app.test\r\nconnection: keep-alive\r\nx-id: 1\r\nX-A: \r\ncontent-length: 5\r\n\r\n',
  );
  const request = readRequest(Buffer.from(text, 'latin1'));
  assert.ok(typeof request === 'object');
  assert.deepEqual(
    [request.method, request.target, request.fields.length, request.end],
    ['POST', '/a?b', 5, text.length],
  );
});
