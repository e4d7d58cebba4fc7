import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { createLogger, createMetrics } from '../../src/observe/index.ts';
import { Exchange, type Outcome } from '../../src/proxy/exchange.ts';
import type { Forward } from '../../src/proxy/index.ts';
import type { Responder } from '../../src/proxy/responder.ts';
import { Upstream } from '../../src/upstream/index.ts';
import { bounded, valuesOf } from '../support/swivel.ts';
import { startUpstream } from '../support/upstream.ts';

const forward: Forward = {
  kind: 'forward',
  upstream: 'app',
  method: 'POST',
  path: '/',
  headers: ['host', 'app.test'],
  requestId: 'id',
  hasBody: true,
  expectsContinue: false,
};

/** A client of which nothing is heard, and to which nothing should be said. */
const nobody: Responder = {
  onDrain: () => {},
  onAbort: () => {},
  continue: () => assert.fail('continue'),
  inform: () => assert.fail('inform'),
  head: () => assert.fail('head'),
  write: () => assert.fail('write'),
  end: () => assert.fail('end'),
  cut: () => assert.fail('cut'),
};

test('a client that is missed first in its body is not taken for a fault of the upstream', bounded, async (t) => {
  const recording = await startUpstream(t, () => undefined);
  const metrics = createMetrics({ version: 'test' });
  const lines: string[] = [];
  const logger = createLogger({ level: 'debug', format: 'json' }, { write: (line) => lines.push(line) });
  const timeouts = { connectTimeout: 1000, responseTimeout: 1000, idleTimeout: 1000, failTimeout: 1000 };
  const upstream = new Upstream('app', [new URL(recording.url)], timeouts, metrics, logger);
  t.after(() => upstream.close());
  const body = new PassThrough();
  body.on('error', () => {});
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  new Exchange(forward, upstream, body, nobody, { metrics, logger, idleTimeout: 1000 }, resolve).start();
  body.write('part');
  const { connection } = await recording.next();
  body.destroy(new Error('reset'));
  assert.deepEqual(await promise, { status: 499, bytes: 0, error: null });
  await connection.closed;
  assert.deepEqual(await valuesOf(metrics.upstreamRequests), { 'app,aborted': 1 });
  assert.deepEqual(lines, []);
});
