import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../../src/observe/index.ts';

/** Fixed once released: dashboards and alerts are written against these. */
const families: Record<string, readonly string[]> = {
  build_info: ['version', 'node'],
  generation: [],
  certificate_not_after_timestamp_seconds: ['certificate'],
  certificate_not_before_timestamp_seconds: ['certificate'],
  certificate_info: ['certificate', 'fingerprint256', 'key_type'],
  certificate_disk_matches_served: ['certificate'],
  certificate_reloads_total: ['certificate', 'result'],
  reload_duration_seconds: [],
  reload_last_success_timestamp_seconds: [],
  watch_last_check_timestamp_seconds: [],
  connections_open: ['state'],
  connections_total: [],
  connections_drained_total: ['how'],
  tls_handshakes_total: ['result', 'resumed'],
  tls_handshake_duration_seconds: [],
  requests_total: ['method', 'code'],
  request_duration_seconds: [],
  requests_in_flight: [],
  upstream_requests_total: ['upstream', 'result'],
  upstream_request_duration_seconds: ['upstream'],
  upstream_target_healthy: ['upstream', 'target'],
  workers: ['state'],
  worker_generation: ['worker'],
  worker_deaths_total: [],
  worker_resident_memory_bytes: ['worker'],
  worker_cpu_seconds_total: ['worker'],
  ticket_keys_renewed_timestamp_seconds: [],
};

function typeOf(name: string): string {
  if (name.endsWith('_total')) return 'counter';
  return name.endsWith('_duration_seconds') ? 'histogram' : 'gauge';
}

test('every family has its labels and its type', async () => {
  const { registry } = createMetrics({ version: '1.2.3' });
  const declared = registry.getMetricsAsArray() as unknown as { name: string; labelNames: readonly string[] }[];
  const labels = Object.fromEntries(declared.map(({ name, labelNames }) => [name, [...labelNames]]));
  for (const [name, expected] of Object.entries(families)) assert.deepEqual(labels[`swivel_${name}`], expected, name);
  const types = Object.fromEntries((await registry.getMetricsAsJSON()).map(({ name, type }) => [name, type]));
  for (const name of Object.keys(families)) assert.equal(types[`swivel_${name}`], typeOf(name), name);
  const build = await registry.getSingleMetricAsString('swivel_build_info');
  assert.ok(build.endsWith(`{version="1.2.3",node="${process.version}"} 1`), build);
});

test('two sets of metrics do not share anything', async () => {
  const [one, other] = [createMetrics({ version: 'a' }), createMetrics({ version: 'b' })];
  one.connections.inc(5);
  assert.match(await one.registry.metrics(), /^swivel_connections_total 5$/m);
  assert.match(await other.registry.metrics(), /^swivel_connections_total 0$/m);
});
