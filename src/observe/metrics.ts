import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Every metric of Swivel. Labels are bounded: never a path, a client or an unchecked name. */
export type Metrics = ReturnType<typeof createMetrics>;

/**
 * Makes the metric families on a registry of their own.
 * @param options.processMetrics also collect the process defaults of prom-client
 */
export function createMetrics(options: { readonly version: string; readonly processMetrics?: boolean }) {
  const registry = new Registry();
  if (options.processMetrics) collectDefaultMetrics({ register: registry });
  const base = { registers: [registry] };
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter<L>({ ...base, name: `swivel_${name}`, help, labelNames });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = [], collect?: () => void) =>
    new Gauge<L>({ ...base, name: `swivel_${name}`, help, labelNames, ...(collect ? { collect } : {}) });
  const histogram = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Histogram<L>({ ...base, name: `swivel_${name}`, help, labelNames, buckets: seconds });

  const buildInfo = gauge('build_info', 'Always 1; the labels tell what runs.', ['version', 'node']);
  buildInfo.set({ version: options.version, node: process.version }, 1);

  return {
    registry,
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
    certificateRefusals: counter(
      'certificate_refusals_total',
      'Handshakes that clients ended with an alert about the certificate.',
      ['certificate'],
    ),
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
    upstreamTargetHealthy: gauge('upstream_target_healthy', '1 while the target accepts connections, else 0.', [
      'upstream',
      'target',
    ]),
  };
}
