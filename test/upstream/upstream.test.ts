import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { createLogger, createMetrics } from '../../src/observe/index.ts';
import { Upstream } from '../../src/upstream/index.ts';
import { startDeafServer } from '../support/deaf-server.ts';
import { bounded, valuesOf } from '../support/swivel.ts';
import { startUpstream, unusedPort } from '../support/upstream.ts';

function create(t: TestContext, targets: readonly string[], options = {}) {
  const metrics = createMetrics({ version: 'test' });
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger(
    { level: 'debug', format: 'json' },
    { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const timeouts = { connectTimeout: 1000, responseTimeout: 1000, idleTimeout: 1000, failTimeout: 1000, ...options };
  const urls = targets.map((target) => new URL(target));
  const upstream = new Upstream('app', urls, timeouts, metrics, logger);
  t.after(() => upstream.close());
  const health = () => valuesOf(metrics.upstreamTargetHealthy);
  return { upstream, lines, health };
}

describe('Upstream', () => {
  test('passes a target over that failed, until failTimeout is over or it accepts a connection', (t) => {
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const { upstream } = create(t, ['http://a.test:1', 'http://b.test:2'], { failTimeout: 1000 });
    const [a, b] = upstream.targets;
    assert.ok(a && b);
    const picks = () => new Set([upstream.pick(new Set()), upstream.pick(new Set())]);
    upstream.connected(a, false);
    now = 999;
    assert.deepEqual(picks(), new Set([b]));
    now = 1000;
    assert.deepEqual(picks(), new Set([a, b]));
    upstream.connected(a, false);
    assert.deepEqual(picks(), new Set([b]));
    upstream.connected(a, true);
    assert.deepEqual(picks(), new Set([a, b]));
  });

  test('tells the state of a target once when it changes, by metric and log', async (t) => {
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const { upstream, lines, health } = create(t, ['http://a.test:1'], { failTimeout: 1000 });
    const [target] = upstream.targets;
    assert.ok(target);
    assert.deepEqual(await health(), { 'app,a.test:1': 1 });
    for (now of [0, 10, 2000]) upstream.connected(target, false);
    assert.deepEqual(await health(), { 'app,a.test:1': 0 });
    // Long after it may be asked again: being asked does not make it healthy, accepting does.
    now = 5000;
    assert.deepEqual([target.healthy, await health()], [true, { 'app,a.test:1': 0 }]);
    for (let i = 0; i < 3; i++) upstream.connected(target, true);
    assert.deepEqual(await health(), { 'app,a.test:1': 1 });
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      ['upstream target is down', 'upstream target is up again'],
    );
  });

  for (const [name, dead] of [
    ['refuses', unusedPort],
    ['does not answer', startDeafServer],
  ] as [string, (t: TestContext) => Promise<number>][]) {
    test(`opens a connection to another target when one ${name}`, bounded, async (t) => {
      const recording = await startUpstream(t);
      const targets = [`http://127.0.0.1:${await dead(t)}`, recording.url];
      const { upstream, health } = create(t, targets, { connectTimeout: 100 });
      const { target, socket } = await upstream.connect();
      assert.equal(target?.url.origin, recording.url);
      socket?.destroy();
      assert.deepEqual(Object.values(await health()), [0, 1]);
    });
  }

  test('says so when none does', bounded, async (t) => {
    const { upstream } = create(t, [`http://127.0.0.1:${await unusedPort()}`]);
    const { socket, error } = await upstream.connect();
    assert.equal(socket, null);
    assert.match(String(error), /ECONNREFUSED/);
  });

  test('connects to an address of IPv6 as URLs write it', bounded, async (t) => {
    const { upstream } = create(t, [`http://[::1]:${await unusedPort()}`]);
    assert.match(String((await upstream.connect()).error), /ECONNREFUSED|EADDRNOTAVAIL|ENETUNREACH|EAFNOSUPPORT/);
  });
});
