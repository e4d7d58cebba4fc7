import type { Argv } from 'yargs';
import type { Defaults, Overrides } from '../config/index.ts';
import { SwivelError } from '../errors.ts';
import { logFormats, logLevels } from '../observe/index.ts';

/** What the flags of `serve` and `check` give. */
export interface ServeFlags {
  readonly config?: string | undefined;
  readonly overrides: Overrides;
  readonly defaults: Defaults;
}

const environmentNames = {
  config: 'SWIVEL_CONFIG',
  listen: 'SWIVEL_LISTEN',
  admin: 'SWIVEL_ADMIN',
  certs: 'SWIVEL_CERTS',
  upstream: 'SWIVEL_UPSTREAM',
  workers: 'SWIVEL_WORKERS',
  'drain-timeout': 'SWIVEL_DRAIN_TIMEOUT',
  'log-level': 'SWIVEL_LOG_LEVEL',
  'log-format': 'SWIVEL_LOG_FORMAT',
} as const;

/** Declares the flags of `serve` and `check`. */
export function serveFlags(yargs: Argv): Argv {
  return yargs
    .option('config', { type: 'string', requiresArg: true, describe: 'A YAML file; flags and environment win over it' })
    .option('certs', { type: 'string', array: true, nargs: 1, describe: 'A directory (or PEM file) of certificates' })
    .option('upstream', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'A plaintext service; several are balanced',
    })
    .option('listen', { type: 'string', array: true, nargs: 1, describe: '[HOST:]PORT to accept TLS on [[::]:8443]' })
    .option('admin', {
      type: 'string',
      requiresArg: true,
      describe: '[HOST:]PORT of the admin endpoints, or off [127.0.0.1:9901]',
    })
    .option('workers', {
      type: 'string',
      requiresArg: true,
      describe: 'Processes that serve: a number, or auto for one per CPU [auto]',
    })
    .option('drain-timeout', {
      type: 'string',
      requiresArg: true,
      describe: 'How long connections may take to leave [30s]',
    })
    .option('log-level', {
      type: 'string',
      requiresArg: true,
      choices: logLevels,
      describe: 'How much is logged [info]',
    })
    .option('log-format', {
      type: 'string',
      requiresArg: true,
      choices: logFormats,
      describe: 'How it is logged [auto]',
    });
}

/**
 * Flags over environment. Only the variables of known flags are read: Kubernetes sets others that begin with SWIVEL_ by itself
 * when a service has that name.
 */
export function readServeFlags(argv: Record<string, unknown>, environment: NodeJS.ProcessEnv): ServeFlags {
  const text = (flag: keyof typeof environmentNames): string | undefined => {
    const value = argv[flag] ?? environment[environmentNames[flag]];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const list = (flag: keyof typeof environmentNames): string[] | undefined => {
    const value = argv[flag];
    if (Array.isArray(value) && value.length > 0) return value.map(String);
    const fromEnvironment = environment[environmentNames[flag]];
    return fromEnvironment ? splitList(fromEnvironment) : undefined;
  };
  const overrides = {
    listen: list('listen'),
    admin: text('admin'),
    certs: list('certs'),
    upstream: list('upstream'),
    workers: text('workers'),
    drainTimeout: text('drain-timeout'),
    logLevel: text('log-level'),
    logFormat: text('log-format'),
  };
  const variables: Record<string, string> = {};
  for (const [flag, variable] of Object.entries(environmentNames)) {
    if (argv[flag] === undefined && environment[variable]) variables[`--${flag}`] = variable;
  }
  const given = Object.entries(overrides).filter(([, value]) => value !== undefined);
  return {
    config: text('config'),
    overrides: { ...Object.fromEntries(given), variables },
    defaults: readDefaults(environment),
  };
}

function splitList(text: string): string[] {
  return text.split(',').map((part) => part.trim());
}

/** The image sets these: a mounted configuration file must win over them, which it would not over SWIVEL_CERTS and SWIVEL_ADMIN. */
function readDefaults(environment: NodeJS.ProcessEnv): Defaults {
  const { SWIVEL_DEFAULT_CERTS: certs, SWIVEL_DEFAULT_ADMIN: admin } = environment;
  return { ...(certs ? { certs: splitList(certs) } : {}), ...(admin ? { admin } : {}) };
}

/** Where a running Swivel's admin endpoints are, for `status` and `reload`. @throws SwivelError USAGE when they are off */
export function adminUrl(flag: unknown, environment: NodeJS.ProcessEnv): string {
  const fromEnvironment = environment[environmentNames.admin] || environment['SWIVEL_DEFAULT_ADMIN'];
  const text = typeof flag === 'string' && flag !== '' ? flag : fromEnvironment || '127.0.0.1:9901';
  if (text === 'off')
    throw new SwivelError('USAGE', 'the admin endpoints are off', { remedy: 'say where with --admin' });
  if (/^https?:\/\//.test(text)) return text.replace(/\/$/, '');
  const address = /^\d+$/.test(text) ? `127.0.0.1:${text}` : text;
  // An address to listen on that means every one is reached on this machine.
  return `http://${address.replace(/^\[::\]:/, 'localhost:').replace(/^0\.0\.0\.0:/, '127.0.0.1:')}`;
}
