import { isIP } from 'node:net';
import { z } from 'zod';
import { isServableName, normalizeName } from '../certificates/index.ts';
import { defaultGate } from '../rotation/index.ts';
import { duration, hostName, longDuration, range, share } from './values.ts';

/** Milliseconds. */
const shortestLifetime = 10_000;

const nameOrAddress = z
  .string()
  .refine((name) => isIP(name) !== 0 || isServableName(normalizeName(name)), 'must be a host name or an IP address');

const development = z
  .union([
    z.array(nameOrAddress).min(1),
    z.strictObject({
      names: z.array(nameOrAddress).min(1),
      lifetime: longDuration
        .refine((lifetime) => lifetime >= shortestLifetime, 'must be at least 10s')
        .optional()
        .describe('How long a certificate is valid; it is issued anew when a third is left.'),
    }),
  ])
  .transform((value) => (Array.isArray(value) ? { names: value } : value));

/** Where certificates come from: one kind of source each. */
export const certificate = z
  .strictObject({
    path: z.string().min(1).optional().describe('A directory, or a PEM file that holds certificate and key.'),
    cert: z.string().min(1).optional().describe('A PEM file with the certificate and its chain.'),
    key: z.string().min(1).optional().describe('A PEM file with the private key of cert.'),
    pkcs12: z.string().min(1).optional().describe('A PKCS#12 keystore.'),
    module: z.string().min(1).optional().describe('A JavaScript module that gives certificates.'),
    options: z.unknown().optional().describe('What the module is given.'),
    passphraseFile: z.string().min(1).optional().describe('A file whose first line opens the key or keystore.'),
    names: z.array(hostName).min(1).optional().describe('Names to serve, instead of those in the certificate.'),
    development: development.optional().describe('Issue development certificates for these names into path.'),
  })
  .check((context) => {
    const { path, cert, key, pkcs12, module, options, passphraseFile, development } = context.value;
    const fail = (message: string) => context.issues.push({ code: 'custom', message, input: context.value });
    const kinds = [path, cert, pkcs12, module].filter((one) => one !== undefined).length;
    if (kinds !== 1) fail('needs one of path, cert and key, pkcs12, module');
    else if ((cert === undefined) !== (key === undefined)) fail('cert and key belong together');
    else if (passphraseFile !== undefined && (path !== undefined || module !== undefined)) {
      fail('passphraseFile goes with cert and key, or pkcs12; below a path, NAME.pass beside NAME.key is used');
    } else if (path === undefined && development !== undefined) fail('development goes with path');
    else if (module === undefined && options !== undefined) fail('options go with module');
  });

const action = (fallback: 'reject' | 'warn' | 'ignore') => z.enum(['reject', 'warn', 'ignore']).default(fallback);

/** What is done about each thing that can be wrong with a certificate that could be served. */
export const gate = z.strictObject({
  expired: action(defaultGate.expired),
  notYetValid: action(defaultGate.notYetValid),
  lifetimeShort: action(defaultGate.lifetimeShort).describe('Less than minRemaining is left.'),
  minRemaining: longDuration.prefault('10m'),
  namesLost: action(defaultGate.namesLost).describe('It no longer covers names that are served with it now.'),
  chainIncomplete: action(defaultGate.chainIncomplete),
  chainUnanchored: action(defaultGate.chainUnanchored).describe('It does not end in an authority of anchors.'),
  anchors: z.string().optional().describe('The name of a trust bundle; without one, no chain is unanchored.'),
  keyWeaker: action(defaultGate.keyWeaker),
  wrongUsage: action(defaultGate.wrongUsage),
  weakSignature: action(defaultGate.weakSignature),
});

/** How a certificate that passed the gate is taken into service. */
export const rotation = z.strictObject({
  jitter: range.prefault('0s').describe('How long an activation waits: a range, from which each process draws.'),
  canary: z
    .strictObject({
      share: share.describe('The share of handshakes that get the new certificate first.'),
      duration: duration('5m').describe('When it is promoted.'),
    })
    .optional()
    .describe('Give a new certificate to some clients first, and take it back if they refuse it.'),
});

export const expiry = z.strictObject({
  warn: z
    .array(longDuration)
    .prefault(['14d', '7d', '1d'])
    .describe('How long before the expiry of a served certificate it is warned of.'),
});

/** Trust bundles by name. */
export const trust = z.record(
  z.string().regex(/^[A-Za-z0-9_.-]+$/, 'must be a name of letters, digits, dots and dashes'),
  z.strictObject({ path: z.string().min(1).describe('A file or a directory of CA certificates and CRLs.') }),
);

const clientRule = {
  mode: z.enum(['off', 'optional', 'required']).describe('Whether client certificates are asked for.'),
  trust: z.string().optional().describe('The name of the trust bundle they are checked against.'),
};

/** Whom a listener lets in. */
export const clientCertificates = z.strictObject({
  ...clientRule,
  hosts: z.record(hostName, z.strictObject(clientRule)).default({}).describe('Other rules for some hosts.'),
});
