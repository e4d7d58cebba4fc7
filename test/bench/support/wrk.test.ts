import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { findCommand } from '../peers/process.ts';
import { wrk } from './wrk.ts';

// wrk ends with 1 after it has told its version.
const found = await findCommand('wrk', '-v');
const missing = 'skipped' in found && found.skipped.endsWith('not installed');
const skip = missing && found.skipped;

suite('a load by wrk', { skip, concurrency: true }, () => {
  const cases = [
    { what: 'right answers', status: 200, bytes: 1024, rejects: undefined },
    { what: 'errors', status: 502, bytes: 1024, rejects: /× status/ },
    { what: 'short answers', status: 200, bytes: 100, rejects: /bytes instead of 1024/ },
    { what: 'long answers', status: 200, bytes: 10_240, rejects: /bytes instead of 1024/ },
  ];
  for (const { what, status, bytes, rejects } of cases) {
    test(`${rejects ? 'fails' : 'succeeds'} with ${what}`, async (t) => {
      const server = createServer((_request, response) => response.writeHead(status).end('x'.repeat(bytes)));
      await once(server.listen(0, '127.0.0.1'), 'listening');
      const directory = mkdtempSync(join(tmpdir(), 'wrk-'));
      t.after(() => {
        rmSync(directory, { recursive: true });
        server.close();
        server.closeAllConnections();
      });
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
      const load = wrk({ url, connections: 2, seconds: 1, directory, bodyBytes: 1024 });
      if (rejects) await assert.rejects(load, rejects);
      else assert.ok((await load).units > 0);
    });
  }
});
