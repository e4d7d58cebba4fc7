import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { FieldText } from '../../src/http1/index.ts';
import { createLogger, createMetrics } from '../../src/observe/index.ts';
import { StreamBody } from '../../src/proxy/body.ts';
import { Exchange } from '../../src/proxy/exchange.ts';
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
  fields: new FieldText(['host', 'app.test', 'transfer-encoding', 'chunked']),
  requestId: 'id',
  framing: 'chunked',
  expectsContinue: false,
};

/** A client of which nothing is heard, and to which nothing should be said. */
const nobody: Responder = {
  attach: () => {},
  continue: () => assert.fail('continue'),
  inform: () => assert.fail('inform'),
  head: () => assert.fail('head'),
  write: () => assert.fail('write'),
  flush: () => assert.fail('flush'),
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
  const client = new PassThrough();
  const { promise, resolve } = Promise.withResolvers<unknown[]>();
  const reporter = { report: (...report: unknown[]) => resolve(report) };
  const context = { metrics, logger, idleTimeout: 1000 };
  new Exchange(forward, upstream, new StreamBody(client, 1000), nobody, context, reporter).start();
  client.write('part');
  const { connection } = await recording.next();
  client.destroy(new Error('reset'));
  assert.deepEqual(await promise, [499, 0, null]);
  await connection.closed;
  assert.deepEqual(await valuesOf(metrics.upstreamRequests), { 'app,aborted': 1 });
  assert.deepEqual(lines, []);
});
