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
  USER_UNKNOWN: {
    summary: 'the user or group that workers should run as does not exist',
    remedy: 'create it, correct process.user or process.group, or give its number',
    exit: 2,
  },
  USER_IS_ROOT: {
    summary: 'the user or group that workers should run as is the one of root',
    remedy: 'name another one; to serve as root, leave process.user and process.group out',
    exit: 2,
  },
  PRIVILEGES_KEPT: {
    summary: 'a worker could not give up the privileges of root for good',
    remedy:
      'grant the capabilities SETUID and SETGID, map the user into the user namespace, or start Swivel as that user',
    exit: 1,
  },
  SERVING_AS_ROOT: {
    summary: 'connections are served as root',
    remedy: 'set process.user, or start Swivel as another user',
    exit: 1,
  },
  CAPABILITIES_KEPT: {
    summary: 'the primary keeps capabilities of root that it does not need',
    remedy: 'install setpriv (util-linux), or start Swivel with no more than the README names under Privileges',
    exit: 1,
  },
  CORE_DUMPS_ON: {
    summary: 'core dumps cannot be switched off, and one would hold private keys',
    remedy: 'install prlimit (util-linux), or start Swivel with ulimit -c 0; process.coreDumps: true allows them',
    exit: 1,
  },
  INSPECTION_REFUSED: {
    summary: 'flags that let others look into processes with private keys are not passed on to workers',
    remedy: 'remove them from NODE_OPTIONS and the command line, or set process.inspect: true',
    exit: 1,
  },
  INSPECTOR_OPEN: {
    summary: 'the inspector was open in a process with private keys',
    remedy: 'remove --inspect from NODE_OPTIONS and the command line, or set process.inspect: true',
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
    remedy:
      'put tls.crt and tls.key (or NAME.crt and NAME.key, fullchain.pem and privkey.pem, NAME.p12 and NAME.pass) into it',
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
  KEYSTORE_UNREADABLE: {
    summary: 'a PKCS#12 keystore is damaged, cut short or protected in a way that is not known',
    remedy: 'copy it again, whole, or write it anew with openssl pkcs12 -export',
    exit: 3,
  },
  KEYSTORE_EMPTY: {
    summary: 'a PKCS#12 keystore holds no private key',
    remedy: 'export it with the private key and its certificates',
    exit: 3,
  },
  PLUGIN_FAILED: {
    summary: 'a plug-in source could not be loaded, threw, or ended',
    remedy: 'correct the module that is named; it is tried again by itself',
    exit: 3,
  },
  PLUGIN_INVALID: {
    summary: 'a plug-in source answered with something that is no certificate material',
    remedy: 'return {identities: [{id, certificatePem, keyPem}]} from load()',
    exit: 3,
  },
  TRUST_EMPTY: {
    summary: 'a trust bundle holds no certificate of an authority',
    remedy: 'put the CA certificates into it, as PEM',
    exit: 3,
  },
  TRUST_UNPARSABLE: {
    summary: 'a file of a trust bundle is damaged or cut short',
    remedy: 'copy it again, whole; write to a temporary name and rename it',
    exit: 3,
  },
  TRUST_NOT_CA: {
    summary: 'a certificate in a trust bundle is not one of an authority and is passed over',
    remedy: 'remove it from the bundle',
    exit: 3,
  },
  TRUST_EXPIRED: {
    summary: 'a CA certificate of a trust bundle has expired, and nothing it issued is accepted',
    remedy: 'replace it',
    exit: 3,
  },
  TRUST_UNAVAILABLE: {
    summary: 'a trust bundle was never loaded, and every client that is checked against it is refused',
    remedy: 'correct what is said about the bundle',
    exit: 3,
  },
  TICKET_KEYS_INVALID: {
    summary: 'the file of session ticket keys does not hold what it should',
    remedy:
      'write 48 or 80 random bytes (openssl rand 80), or such keys in base64, one in a line; then rename it into place',
    exit: 3,
  },
  TICKET_KEYS_COMPROMISED: {
    summary: 'the session ticket key on disk was in use with a compromised certificate',
    remedy: 'put a new key into the file, on every replica',
    exit: 3,
  },
  CRL_UNVERIFIED: {
    summary: 'a CRL is signed by none of the CA certificates of its trust bundle',
    remedy: 'add the certificate of its issuer, or remove the CRL',
    exit: 3,
  },
  CRL_OUTDATED: {
    summary: 'a CRL is past its nextUpdate; what it revokes stays revoked',
    remedy: 'fetch it again',
    exit: 3,
  },
  NAMES_LOST: {
    summary: 'the certificate no longer covers names that are served with it now',
    remedy:
      'issue it for all names; if that is meant, run swivel reload --accept CERTIFICATE, or set gate.namesLost to warn',
    exit: 3,
  },
  LIFETIME_SHORT: {
    summary: 'the certificate expires very soon',
    remedy: 'renew it; gate.minRemaining says how soon is too soon',
    exit: 3,
  },
  KEY_WEAKER: {
    summary: 'the key is weaker than the one that is served now',
    remedy: 'issue it with a key of the same strength; if that is meant, set gate.keyWeaker to ignore',
    exit: 3,
  },
  CHAIN_UNANCHORED: {
    summary: 'the chain does not end in one of the authorities of gate.anchors',
    remedy: 'issue it by the right authority, append the intermediates, or correct gate.anchors',
    exit: 3,
  },
  HANDSHAKE_FAILED: {
    summary: 'a rehearsed handshake with the new certificate failed, and it was not activated',
    remedy: 'issue it again; what is served stays',
    exit: 3,
  },
  HANDSHAKE_DISAGREES: {
    summary: 'after activation the listener showed another certificate, and the change was taken back',
    remedy: 'look at the log lines before; run swivel reload to try again',
    exit: 3,
  },
  ROLLED_BACK: {
    summary: 'an earlier certificate is served on request, and what is on disk waits',
    remedy: 'change the files to go on, or run swivel reload --accept CERTIFICATE to serve what is on disk',
    exit: 3,
  },
  ROLLBACK_IMPOSSIBLE: {
    summary: 'there is no earlier certificate to go back to',
    remedy: 'put the certificate that should be served on disk',
    exit: 1,
  },
  CANARY_RUNNING: {
    summary: 'the new certificate is given to a share of the handshakes first',
    remedy: 'nothing: it is promoted after canary.duration unless clients refuse it',
    exit: 3,
  },
  CANARY_REJECTED: {
    summary: 'clients refused the new certificate more often than the old one, and it was taken back',
    remedy: 'issue it by an authority that clients trust, or append the intermediates',
    exit: 3,
  },
  ACTIVATION_DELAYED: {
    summary: 'the new certificate is activated after a random delay',
    remedy: 'nothing: rotation.jitter says how long; swivel reload activates it now',
    exit: 3,
  },
  CERT_EXPIRES_SOON: {
    summary: 'the served certificate expires soon',
    remedy: 'renew it; expiry.warn says from when on to warn',
    exit: 3,
  },
  CERT_COMPROMISED: {
    summary: 'the certificate was reported as compromised and is still what is on disk',
    remedy: 'put a new certificate with a new key on disk at once',
    exit: 3,
  },
  CERTIFICATE_UNKNOWN: {
    summary: 'no certificate has that id',
    remedy: 'see swivel status for the ids',
    exit: 1,
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
  MOUNT_WITHOUT_EVENTS: {
    summary:
      'the file system of the certificates tells nothing of changes made elsewhere, so they are found by the resync',
    remedy: 'set watch.mode: poll to find them sooner',
    exit: 3,
  },
  LINK_DANGLING: {
    summary: 'a symbolic link leads to nothing that is mounted here',
    remedy: 'mount the directory that holds both the link and what it leads to (for certbot: /etc/letsencrypt)',
    exit: 3,
  },
  LINK_LEAVES_MOUNT: {
    summary: 'a symbolic link leads out of the mounted directory',
    remedy: 'mount the directory that holds both the link and what it leads to',
    exit: 3,
  },
  KEY_EXPOSED: {
    summary: 'a private key can be read by every user',
    remedy: 'take the right away with chmod o-rwx (in Kubernetes: defaultMode: 0400)',
    exit: 3,
  },
  INOTIFY_LIMIT: {
    summary: 'the system allows too few watches for the directories of the certificates',
    remedy: 'raise it with sysctl fs.inotify.max_user_watches=65536 fs.inotify.max_user_instances=512',
    exit: 3,
  },
  CLOCK_SKEW: {
    summary: 'a certificate was written before it is valid, so the clock of this machine may be slow',
    remedy: 'check the clock with timedatectl or chronyc tracking',
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
  CLIENT_CERTIFICATE_REQUIRED: {
    summary: 'the host asks for a client certificate and none was given',
    remedy: 'connect with a client certificate of an authority that the host trusts',
    exit: 1,
  },
  CLIENT_CERTIFICATE_REJECTED: {
    summary: 'the client certificate is not accepted',
    remedy: 'use one that is valid, not revoked, and issued by an authority that the host trusts',
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
  WORKER_DIED: {
    summary: 'a worker process ended that should not have',
    remedy: 'nothing: it is replaced; should it go on, look for what its last lines say, and for memory limits',
    exit: 1,
  },
  WORKER_SILENT: {
    summary: 'a worker gives no sign of life and is replaced',
    remedy: 'look whether the machine is overloaded, or the process was suspended',
    exit: 1,
  },
  WORKER_REFUSED: {
    summary: 'a worker cannot serve a generation',
    remedy: 'nothing: it is tried again; should it go on, restart Swivel and report the log lines around it',
    exit: 1,
  },
  WORKER_GONE: {
    summary: 'the worker has ended',
    remedy: 'try again',
    exit: 1,
  },
  WORKER_INCOMPATIBLE: {
    summary: 'the program on disk is of a version that the running primary process cannot talk to',
    remedy: 'restart Swivel as a whole',
    exit: 1,
  },
  WORKERS_FAILED: {
    summary: 'new workers do not get as far as to serve',
    remedy: 'look into the log of Swivel for the reason; the workers that serve go on',
    exit: 1,
  },
  NO_WORKERS: {
    summary: 'this Swivel serves with one process',
    remedy: 'set workers to auto, or to a number above 1, and restart it',
    exit: 1,
  },
  SHUTTING_DOWN: { summary: 'Swivel is stopping', remedy: 'try again', exit: 1 },
} as const satisfies Record<string, CatalogueEntry>;
