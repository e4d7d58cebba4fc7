/**
 * The one catalogue of coded errors. A code is stable, is what logs, status, metrics and the command line print, and has a row
 * in the README (a test holds the two together).
 */

/** Exit codes of the command line: 1 failed at run time, 2 usage or configuration, 3 certificates. */
export type ExitCode = 1 | 2 | 3;

interface CatalogueEntry {
  /** What it means, in one clause. */
  readonly summary: string;
  /** What the operator does about it. */
  readonly remedy: string;
  readonly exit: ExitCode;
}

export const catalogue = {
  NODE_TOO_OLD: {
    summary: 'this Node.js serves the wrong certificate to some clients',
    remedy: 'run Node.js 24.20 or newer in the 24 line, or 26.7 or newer',
    exit: 2,
  },
  USAGE: { summary: 'the command line is wrong', remedy: 'see swivel --help', exit: 2 },
  CONFIG_UNREADABLE: {
    summary: 'the configuration file cannot be read',
    remedy: 'check the path and its permissions',
    exit: 2,
  },
  CONFIG_SYNTAX: {
    summary: 'the configuration file is not valid YAML',
    remedy: 'correct the line that is named',
    exit: 2,
  },
  CONFIG_UNKNOWN_KEY: { summary: 'a configuration key does not exist', remedy: 'correct or remove the key', exit: 2 },
  CONFIG_INVALID: { summary: 'a configuration value is not acceptable', remedy: 'correct the value', exit: 2 },
  CONFIG_UNSUPPORTED: {
    summary: 'a setting is known but cannot be honoured by this version',
    remedy: 'remove the setting',
    exit: 2,
  },
  LISTEN_FAILED: {
    summary: 'an address cannot be listened on',
    remedy: 'free the port, choose another one, or grant the right to bind it',
    exit: 1,
  },
  OUTPUT_UNWRITABLE: {
    summary: 'a directory cannot be written to',
    remedy: 'choose another one with --out, or change its permissions',
    exit: 1,
  },
  ADMIN_UNREACHABLE: {
    summary: 'no running Swivel answered on the admin address',
    remedy: 'start Swivel, or give its admin address with --admin',
    exit: 1,
  },
  ADMIN_REFUSED: {
    summary: 'the admin endpoint refused a request that changes something',
    remedy: 'call it from the same machine, or with the bearer token of admin.tokenFile',
    exit: 1,
  },
  INTERNAL: { summary: 'Swivel met a fault of its own', remedy: 'report it with the log lines around it', exit: 1 },

  NOTHING_SERVABLE: {
    summary: 'there is no certificate that can be served',
    remedy: 'correct the certificates listed above, or run swivel dev-cert --out DIR for a development certificate',
    exit: 3,
  },
  CHECK_FAILED: { summary: 'swivel check found an error', remedy: 'correct what the table names', exit: 3 },
  SOURCE_MISSING: {
    summary: 'the certificate path does not exist',
    remedy: 'create it, or correct --certs; in a container, check the volume mount',
    exit: 3,
  },
  SOURCE_EMPTY: {
    summary: 'the certificate directory holds no certificate',
    remedy: 'put tls.crt and tls.key (or NAME.crt and NAME.key, fullchain.pem and privkey.pem) into it',
    exit: 3,
  },
  SOURCE_UNREADABLE: {
    summary: 'the certificate directory cannot be read',
    remedy: 'give the user Swivel runs as the right to list it',
    exit: 3,
  },
  SOURCE_TIMEOUT: {
    summary: 'reading a certificate source took too long',
    remedy: 'check that the file system behind it answers',
    exit: 3,
  },
  SNAPSHOT_UNSTABLE: {
    summary: 'the files kept changing while they were read',
    remedy: 'wait for the writer to finish; write to a temporary name and rename it',
    exit: 3,
  },
  FILE_MISSING: {
    summary: 'a file of a served certificate was deleted',
    remedy: 'put it back, or restart Swivel to stop serving the certificate',
    exit: 3,
  },
  FILE_UNREADABLE: {
    summary: 'a file cannot be read',
    remedy: 'give the user Swivel runs as the right to read it',
    exit: 3,
  },
  FILE_NOT_REGULAR: {
    summary: 'something that is not a file stands where a file is expected',
    remedy: 'replace it with a regular file',
    exit: 3,
  },
  FILE_TOO_LARGE: {
    summary: 'a file is far larger than any certificate or key',
    remedy: 'check what was copied; the limit is 1 MiB',
    exit: 3,
  },
  CERT_MISSING: {
    summary: 'a private key has no certificate beside it',
    remedy: 'add NAME.crt, NAME.pem or NAME.cer',
    exit: 3,
  },
  CERT_NOT_PEM: {
    summary: 'a certificate file holds no PEM certificate',
    remedy: 'write PEM (-----BEGIN CERTIFICATE-----); convert DER with openssl x509 -inform der',
    exit: 3,
  },
  CERT_UNPARSABLE: {
    summary: 'a certificate is damaged or cut short',
    remedy: 'copy it again, whole; write to a temporary name and rename it',
    exit: 3,
  },
  KEY_MISSING: {
    summary: 'a certificate has no private key beside it',
    remedy: 'add NAME.key, or put the key into the same PEM file',
    exit: 3,
  },
  KEY_UNPARSABLE: {
    summary: 'a private key is damaged, cut short or not PEM',
    remedy: 'copy it again, whole, as PEM',
    exit: 3,
  },
  KEY_PASSPHRASE_MISSING: {
    summary: 'a private key is encrypted and no passphrase is given',
    remedy: 'put the passphrase into NAME.pass, or set passphraseFile',
    exit: 3,
  },
  KEY_PASSPHRASE_WRONG: {
    summary: 'the passphrase does not open the private key',
    remedy: 'correct the passphrase file',
    exit: 3,
  },
  KEY_MISMATCH: {
    summary: 'the private key belongs to another certificate',
    remedy: 'put the key and the certificate of the same issuance side by side',
    exit: 3,
  },
  KEY_WEAK: {
    summary: 'the key is too weak for clients to accept',
    remedy: 'issue it again with RSA of 2048 bits or more, ECDSA P-256 or Ed25519',
    exit: 3,
  },
  SIGNATURE_WEAK: {
    summary: 'the certificate is signed with MD5 or SHA-1',
    remedy: 'issue it again with SHA-256',
    exit: 3,
  },
  CERT_EXPIRED: { summary: 'the certificate has expired', remedy: 'renew it', exit: 3 },
  CERT_NOT_YET_VALID: {
    summary: 'the certificate is not valid yet',
    remedy: 'nothing: it is served from the moment it is valid; check the clock if that is a surprise',
    exit: 3,
  },
  CERT_WRONG_EKU: {
    summary: 'the certificate is not meant for TLS servers',
    remedy: 'issue it with the extended key usage serverAuth',
    exit: 3,
  },
  CERT_ORDER: {
    summary: 'the certificate of the server is not the first one in its file',
    remedy: 'nothing: it is put in order; write the leaf first to be rid of the warning',
    exit: 3,
  },
  CHAIN_BROKEN: {
    summary: 'a certificate in the chain does not belong to it and is left out',
    remedy: 'write leaf and intermediates in order, nothing else',
    exit: 3,
  },
  CHAIN_INCOMPLETE: {
    summary: 'the intermediate certificate is missing, and many clients will refuse the chain',
    remedy: 'append the intermediate (use fullchain.pem instead of cert.pem)',
    exit: 3,
  },
  CERT_IS_CA: {
    summary: 'the certificate is one of a certificate authority',
    remedy: 'serve a leaf certificate issued by it',
    exit: 3,
  },
  CERT_NO_NAMES: {
    summary: 'the certificate names no host in its subjectAltName',
    remedy: 'issue it with subjectAltName; until then it can only be the default certificate',
    exit: 3,
  },
  CERT_BAD_NAME: {
    summary: 'a name of the certificate can never match a host',
    remedy: 'use whole host names, or one * as the whole first label',
    exit: 3,
  },
  NAME_SHADOWED: {
    summary: 'two certificates serve one name; the one with the newer notBefore is used',
    remedy: 'remove the older one',
    exit: 3,
  },
  DEFAULT_UNKNOWN: {
    summary: 'the configured default certificate does not exist',
    remedy: 'correct tls.defaultCertificate',
    exit: 3,
  },
  PKCS12_UNSUPPORTED: {
    summary: 'PKCS#12 files are not read by this version',
    remedy: 'convert it with openssl pkcs12 -nodes to PEM',
    exit: 3,
  },
  CONTEXT_FAILED: {
    summary: 'the TLS library refuses the certificate and key',
    remedy: 'issue the whole chain again with RSA of 2048 bits or more, ECDSA P-256 or Ed25519',
    exit: 3,
  },
  MOUNT_SINGLE_FILE: {
    summary: 'a file is mounted by itself, so a renewal of it is never seen',
    remedy: 'mount its directory instead (in Kubernetes: without subPath)',
    exit: 3,
  },
  WATCH_UNAVAILABLE: {
    summary: 'the system refuses to watch files; they are polled instead',
    remedy: 'raise fs.inotify.max_user_watches and max_user_instances, or set watch.mode: poll',
    exit: 1,
  },

  PLAIN_HTTP: { summary: 'plain HTTP was spoken to the TLS port', remedy: 'use https://', exit: 1 },
  REQUEST_HOST: { summary: 'the request has no single valid Host', remedy: 'send exactly one Host header', exit: 1 },
  REQUEST_FRAMING: {
    summary: 'the length of the request body is ambiguous',
    remedy: 'send Content-Length or Transfer-Encoding: chunked, not both',
    exit: 1,
  },
  REQUEST_MALFORMED: { summary: 'the request cannot be understood', remedy: 'send valid HTTP', exit: 1 },
  REQUEST_METHOD: { summary: 'the method is not proxied', remedy: 'use another method', exit: 1 },
  REQUEST_MISDIRECTED: {
    summary: 'the certificate of this connection does not cover the host of the request',
    remedy: 'open a new connection to that host',
    exit: 1,
  },
  ROUTE_NOT_FOUND: { summary: 'no route matches the request', remedy: 'add a route for its host and path', exit: 1 },
  UPSTREAM_UNREACHABLE: {
    summary: 'the upstream does not accept connections',
    remedy: 'start it, or correct the upstream URL',
    exit: 1,
  },
  UPSTREAM_TIMEOUT: {
    summary: 'the upstream did not answer in time',
    remedy: 'look at the upstream, or raise proxy.responseTimeout',
    exit: 1,
  },
  UPSTREAM_CLOSED: {
    summary: 'the upstream closed the connection before it answered',
    remedy: 'look at the log of the upstream',
    exit: 1,
  },
  UPSTREAM_INVALID: {
    summary: 'the upstream answered with something that is not valid HTTP',
    remedy: 'look at the upstream',
    exit: 1,
  },
  SHUTTING_DOWN: { summary: 'Swivel is stopping', remedy: 'try again', exit: 1 },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;

/** Where something is wrong: a file with an optional line, or a setting. */
export interface Place {
  readonly file: string;
  readonly line?: number;
}

/** Renders a place as `file:line`. */
export function formatPlace(place: Place): string {
  return place.line === undefined ? place.file : `${place.file}:${place.line}`;
}

interface ErrorDetails {
  readonly place?: Place;
  readonly remedy?: string;
  readonly cause?: unknown;
}

/** An error from the catalogue. Its message never holds a secret. */
export class SwivelError extends Error {
  readonly code: ErrorCode;
  readonly place: Place | undefined;
  readonly remedy: string;

  /**
   * @param code from the catalogue
   * @param message what is wrong; the summary of the catalogue when left out
   */
  constructor(code: ErrorCode, message: string = catalogue[code].summary, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'SwivelError';
    this.code = code;
    this.place = details.place;
    this.remedy = details.remedy ?? catalogue[code].remedy;
  }

  /** The exit code of a command that fails with this error. */
  get exitCode(): ExitCode {
    return catalogue[this.code].exit;
  }

  /** The one line that the command line prints: `CODE: what is wrong, where, what to do`. */
  get line(): string {
    const where = this.place ? `, ${formatPlace(this.place)}` : '';
    return `${this.code}: ${this.message}${where}; ${this.remedy}`;
  }
}

/** `error` keeps a certificate from being served, `warning` does not. */
export type Severity = 'error' | 'warning';

/** Something found to be wrong, as a value: what, where, what to do. */
export interface Finding {
  readonly code: ErrorCode;
  readonly severity: Severity;
  readonly message: string;
  readonly remedy: string;
  readonly file?: string;
  /** The id of the identity it is about; absent when it is about the whole source. */
  readonly identity?: string;
}

/**
 * Makes a finding with the remedy of the catalogue.
 * @param message what is wrong; the summary of the catalogue when left out
 */
export function finding(
  code: ErrorCode,
  severity: Severity,
  details: { readonly message?: string; readonly file?: string; readonly identity?: string } = {},
): Finding {
  const { summary, remedy } = catalogue[code];
  return {
    code,
    severity,
    message: details.message ?? summary,
    remedy,
    ...(details.file === undefined ? {} : { file: details.file }),
    ...(details.identity === undefined ? {} : { identity: details.identity }),
  };
}

/** A finding as logs, status and answers show it. */
export function coded({ code, message, remedy, file }: Finding) {
  return { code, message, remedy, ...(file === undefined ? {} : { file }) };
}

/** The system's error code (`ENOENT`), when there is one. */
export function systemCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' ? code : undefined;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
