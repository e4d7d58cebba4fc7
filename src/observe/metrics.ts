import type { Metric } from 'prom-client';
import { familiesOf, sheetFamiliesOf } from './families.ts';
import { promClient } from './prom-client.ts';
import { Sheet } from './sheet/sheet.ts';
import { SheetSum } from './sheet/sum.ts';

/** Every metric of Swivel. Labels are bounded: never a path, a client or an unchecked name. */
export type Metrics = ReturnType<typeof createMetrics>;

/** What those count who serve. */
export type TrafficMetrics = ReturnType<typeof createTrafficMetrics>;

export interface MetricsOptions {
  readonly version: string;
  /** Also collect the process defaults of prom-client. */
  readonly processMetrics?: boolean;
  /** Where this process counts its traffic; a sheet in memory when left out. A worker gives one that is written to its files. */
  readonly sheet?: Sheet;
}

/** Makes what a worker counts, on its sheet; who has the registry shows it. */
export function createTrafficMetrics(sheet: Sheet) {
  return { ...trafficMetrics(sheetFamiliesOf(sheet, new SheetSum(sheet), () => {})), keep: () => sheet.keep() };
}

/**
 * Makes the metric families on a registry of their own. What a worker counts (connections, handshakes, requests) is counted on its sheet; the
 * registry of the primary shows the sheets of all that were attached to `sheets`.
 */
export function createMetrics(options: MetricsOptions) {
  const { collectDefaultMetrics, Registry } = promClient();
  const registry = new Registry();
  if (options.processMetrics) collectDefaultMetrics({ register: registry });
  const families = familiesOf(registry);
  const buildInfo = families.gauge('build_info', 'Always 1; the labels tell what runs.', ['version', 'node']);
  buildInfo.set({ version: options.version, node: process.version }, 1);
  const sheet = options.sheet ?? new Sheet();
  const sheets = new SheetSum(sheet);
  return {
    registry,
    sheets,
    ...certificateMetrics(families),
    ...trafficMetrics(sheetFamiliesOf(sheet, sheets, (family) => registry.registerMetric(family as unknown as Metric))),
    ...workerMetrics(families),
    /** What was counted so far stays counted, even if this process is killed right after. */
    keep: () => sheet.keep(),
  };
}

function certificateMetrics({ counter, gauge, histogram }: ReturnType<typeof familiesOf>) {
  return {
    generation: gauge('generation', 'Number of the generation of certificates that is served.'),
    certificateNotAfter: gauge(
      'certificate_not_after_timestamp_seconds',
      'When the served certificate expires, in seconds since 1970.',
      ['certificate'],
    ),
    certificateNotBefore: gauge(
      'certificate_not_before_timestamp_seconds',
      'When the served certificate becomes valid, in seconds since 1970.',
      ['certificate'],
    ),
    certificateInfo: gauge('certificate_info', 'Always 1; one for each served certificate.', [
      'certificate',
      'fingerprint256',
      'key_type',
    ]),
    certificateDiskMatchesServed: gauge(
      'certificate_disk_matches_served',
      '1 when the certificate on disk is the one that is served, else 0.',
      ['certificate'],
    ),
    certificateReloads: counter('certificate_reloads_total', 'Changes found on disk, by what came of them.', [
      'certificate',
      'result',
    ]),
    reloadDuration: histogram('reload_duration_seconds', 'From the first sign of a change to serving it.'),
    reloadLastSuccess: gauge('reload_last_success_timestamp_seconds', 'When a change was last applied.'),
    watchLastCheck: gauge('watch_last_check_timestamp_seconds', 'When the certificate sources were last read.'),
    trustNotAfter: gauge(
      'trust_not_after_timestamp_seconds',
      'When the first authority of a trust bundle expires, in seconds since 1970.',
      ['bundle'],
    ),
    trustNextUpdate: gauge(
      'trust_crl_next_update_timestamp_seconds',
      'When the first CRL of a trust bundle should have been replaced, in seconds since 1970.',
      ['bundle'],
    ),
    trustDiskMatchesServed: gauge(
      'trust_disk_matches_served',
      '1 when the trust bundle on disk is the one that is used, else 0.',
      ['bundle'],
    ),
    ticketKeysRenewed: gauge(
      'ticket_keys_renewed_timestamp_seconds',
      'When the keys of session tickets were last renewed, in seconds since 1970.',
    ),
  };
}

function trafficMetrics({ counter, gauge, histogram }: ReturnType<typeof sheetFamiliesOf>) {
  return {
    certificateRefusals: counter(
      'certificate_refusals_total',
      'Handshakes that clients ended with an alert about the certificate.',
      ['certificate'],
    ),
    clientCertificates: counter(
      'client_certificates_rejected_total',
      'Requests refused for their client certificate.',
      ['reason'],
    ),
    connectionsOpen: gauge('connections_open', 'Open connections; draining: on a certificate no longer served.', [
      'state',
    ]),
    connections: counter('connections_total', 'Connections accepted.'),
    connectionsDrained: counter('connections_drained_total', 'Drained connections that ended, by how.', ['how']),
    handshakes: counter('tls_handshakes_total', 'TLS handshakes, by result and whether a session was resumed.', [
      'result',
      'resumed',
    ]),
    handshakeDuration: histogram('tls_handshake_duration_seconds', 'From accepting a connection to its TLS session.'),
    requests: counter('requests_total', 'Requests answered, by method and status code.', ['method', 'code']),
    requestDuration: histogram('request_duration_seconds', 'From the head of a request to the end of its response.'),
    requestsInFlight: gauge('requests_in_flight', 'Requests being answered.'),
    upstreamRequests: counter('upstream_requests_total', 'Requests sent upstream, by what came of them.', [
      'upstream',
      'result',
    ]),
    upstreamRequestDuration: histogram(
      'upstream_request_duration_seconds',
      'From sending a request upstream to the head of the response.',
      ['upstream'],
    ),
    upstreamTargetHealthy: gauge(
      'upstream_target_healthy',
      '1 while the target accepts connections, else 0.',
      ['upstream', 'target'],
      'min',
    ),
  };
}

function workerMetrics({ counter, gauge }: ReturnType<typeof familiesOf>) {
  return {
    workers: gauge('workers', 'Workers by state: serving, starting, draining, lagging.', ['state']),
    workerGeneration: gauge('worker_generation', 'Number of the generation that the worker serves.', ['worker']),
    workerDeaths: counter('worker_deaths_total', 'Workers that ended without being told to.'),
    workerMemory: gauge('worker_resident_memory_bytes', 'Resident memory of the worker.', ['worker']),
    /** Only counts up: to set it to what the system says, `remove({ worker })`, then `inc({ worker }, seconds)`. */
    workerCpu: counter('worker_cpu_seconds_total', 'Processor time of the worker, user and system.', ['worker']),
  };
}
