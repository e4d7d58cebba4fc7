import { isIP } from 'node:net';
import { z } from 'zod';
import { watchModes } from '../files/index.ts';
import { logFormats, logLevels } from '../observe/index.ts';
import { demoTarget } from '../upstream/index.ts';
import { certificate, clientCertificates, expiry, gate, rotation, trust } from './certificates.ts';
import { address, addressHint, duration, hostName, interval, longDuration, size } from './values.ts';

const target = z.string().refine((text) => {
  if (text === demoTarget) return true;
  const url = URL.canParse(text) ? new URL(text) : null;
  // The origin is all of a URL but credentials, path, query and fragment.
  return url?.protocol === 'http:' && url.href === `${url.origin}/`;
}, 'must be a plaintext URL without a path, such as http://127.0.0.1:8080');

const headerName = z.string().regex(/^[A-Za-z0-9-]+$/, 'must be a header name of letters, digits and dashes');

const accountHint = 'must be a name without spaces, or a number';
/** (uid_t) -1 is nobody's number. */
const account = z.union(
  [z.int(accountHint).min(0, accountHint).max(4_294_967_294, accountHint), z.string().regex(/^[^:\s]+$/, accountHint)],
  accountHint,
);

/** What readiness may turn on. */
export const readinessTurnsOn = ['expired', 'out-of-sync', 'expiring', 'polling'] as const;

const sessionCacheHint = 'must be a whole number of sessions from 0 to 1000000';

/** Milliseconds. */
const shortestTicketKeyLifetime = 1000;

/** The whole configuration. One schema: types, errors, and the JSON Schema for editors. */
export const configSchema = z.strictObject({
  listeners: z
    .array(
      z.strictObject({
        address: address('::').describe('[HOST:]PORT'),
        clientCertificates: clientCertificates.optional().describe('Whom to let in by client certificate (mTLS).'),
      }),
    )
    .min(1)
    .prefault([{ address: '[::]:8443' }])
    .describe('Where TLS connections are accepted.'),
  certificates: z.array(certificate).min(1).describe('Where certificates come from.'),
  trust: trust.default({}).describe('What client certificates are checked against: CA certificates and CRLs, by name.'),
  gate: gate.prefault({}).describe('What is done about a certificate that could be served, and should perhaps not be.'),
  rotation: rotation.prefault({}),
  expiry: expiry.prefault({}),
  upstreams: z
    .record(z.string().regex(/^[A-Za-z0-9_.-]+$/), z.strictObject({ targets: z.array(target).min(1) }))
    .refine((upstreams) => Object.keys(upstreams).length > 0, 'needs at least one upstream')
    .describe('Plaintext services, by name; the targets of one are used in turn.'),
  routes: z
    .array(
      z.strictObject({
        hosts: z.array(hostName).min(1).optional().describe('Hosts; every host when left out.'),
        path: z.string().startsWith('/').optional().describe('A prefix of whole path segments.'),
        upstream: z.string().describe('The name of an upstream.'),
      }),
    )
    .min(1)
    .optional()
    .describe('Which request goes to which upstream; the first match wins. Needed when there are several upstreams.'),
  tls: z
    .strictObject({
      minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2'),
      ciphers: z.string().optional().describe("OpenSSL's cipher list; Node's default when left out."),
      defaultCertificate: z.string().optional().describe('The id of the certificate for clients without a known name.'),
      unknownName: z.enum(['default', 'reject']).default('default'),
      handshakeTimeout: duration('10s'),
      sessionTimeout: duration('5m').describe('For how long a session may be resumed.'),
      sessionCache: z
        .int(sessionCacheHint)
        .min(0, sessionCacheHint)
        .max(1_000_000, sessionCacheHint)
        .default(0)
        .describe('Sessions that each listener of a process keeps for TLS 1.2 clients without tickets.'),
      ticketKeyFile: z
        .string()
        .min(1)
        .optional()
        .describe('A file of session ticket keys that replicas share, as nginx or HAProxy reads it.'),
      ticketKeyLifetime: longDuration
        .refine((lifetime) => lifetime >= shortestTicketKeyLifetime, 'must be at least 1s')
        .prefault('12h')
        .describe('How often ticket keys are renewed; those of ticketKeyFile are when the file changes.'),
    })
    .prefault({}),
  drain: z
    .strictObject({
      timeout: duration('30s').describe('After it, what is left of a drain is cut.'),
      spread: duration('5s').describe('The span over which connections are asked to leave.'),
      upgraded: duration('1h').describe('As timeout, for upgraded connections (WebSocket).'),
      untrusted: z
        .enum(['drain', 'cut'])
        .default('drain')
        .describe('What is done with connections whose client certificate is no longer trusted.'),
      readinessDelay: duration('0s').describe('When stopping: how long to go on accepting after readiness turned 503.'),
    })
    .prefault({}),
  watch: z
    .strictObject({
      mode: z.enum(watchModes).default('auto'),
      resync: interval('30s').describe('How often everything is read again, whatever events came.'),
      pollInterval: interval('2s').describe('How often everything is read again where events are not to be had.'),
    })
    .prefault({}),
  admin: z
    .strictObject({
      address: z
        .union([z.literal('off'), address('127.0.0.1')], `${addressHint}, or off`)
        .prefault('127.0.0.1:9901')
        .describe('[HOST:]PORT, or off'),
      tokenFile: z
        .string()
        .optional()
        .describe('A file with the bearer token that lets other machines change something.'),
      readiness: z
        .array(z.enum(readinessTurnsOn))
        .default(['expired'])
        .describe('What makes it unready, beside not serving.'),
    })
    .prefault({}),
  proxy: z
    .strictObject({
      headersTimeout: duration('15s').describe('How long a client may take to send the head of a request.'),
      idleTimeout: duration('75s').describe('How long a client connection may stay idle.'),
      connectTimeout: duration('5s').describe('How long to wait for a connection to a target.'),
      responseTimeout: duration('60s').describe('How long to wait for the head of a response.'),
      bodyTimeout: duration('1h').describe('How long to wait for the next byte of a response.'),
      failTimeout: duration('5s').describe('How long a target that refused a connection is passed over.'),
      maxHeaderSize: size('32KiB'),
      maxConcurrentStreams: z.int().min(1).max(10_000).default(128),
      trustedProxies: z
        .array(z.string().refine(isRange, 'must be an IP address or a CIDR range'))
        .default([])
        .describe('Peers whose X-Forwarded-*, Forwarded and X-Request-Id are believed.'),
      certificateHeader: headerName
        .optional()
        .describe('A header that tells upstream the certificate the client was given.'),
      clientCertificateHeaders: z
        .strictObject({
          xfcc: headerName.optional().describe("Everything in one, as Envoy's X-Forwarded-Client-Cert."),
          subject: headerName.optional().describe('The distinguished name of the subject (RFC 4514).'),
          names: headerName.optional().describe('The subject alternative names, separated by commas.'),
          fingerprint: headerName.optional().describe('The SHA-256 fingerprint, lower-case hex.'),
          serial: headerName.optional().describe('The serial number, lower-case hex.'),
        })
        .default({})
        .describe('Headers that tell upstream the verified client certificate. Those of clients are never passed on.'),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z.enum(logLevels).default('info'),
      format: z.enum(logFormats).default('auto'),
      access: z.boolean().default(false).describe('One line for each request.'),
    })
    .prefault({}),
  process: z
    .strictObject({
      user: account
        .optional()
        .describe('Started as root: the user that workers run as, a name of /etc/passwd or a number. Not root.'),
      group: account
        .optional()
        .describe("The only group of workers, a name of /etc/group or a number; the user's own when left out."),
      inspect: z
        .boolean()
        .default(false)
        .describe('Let the inspector, heap snapshots and the like be used on processes that hold private keys.'),
      coreDumps: z.boolean().default(false).describe('Let a crash leave a core dump, which holds private keys.'),
    })
    .refine(({ user, group }) => group === undefined || user !== undefined, {
      message: 'has no effect without process.user',
      path: ['group'],
    })
    .prefault({})
    .describe('What the processes of Swivel may do.'),
  workers: z
    .union([z.literal('auto'), z.int().min(1).max(512)], 'must be auto or a whole number from 1 to 512')
    .default('auto')
    .describe(
      'Processes that serve. auto: one for each CPU, as far as the memory goes; with 1, everything is one process.',
    ),
});

function isRange(text: string): boolean {
  const [ip = '', bits, ...more] = text.split('/');
  const family = isIP(ip);
  if (family === 0 || more.length > 0) return false;
  return bits === undefined || (/^\d+$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

export type ConfigInput = z.input<typeof configSchema>;
export type Config = z.output<typeof configSchema>;

/** The JSON Schema of the configuration file, for editors. */
export function jsonSchema(): object {
  return { title: 'Swivel configuration', ...z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }) };
}
