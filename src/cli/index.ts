import yargs from 'yargs';
import { catalogue, messageOf, SwivelError } from '../errors.ts';
import { readVersion } from '../version.ts';
import { EarlySignals } from './early-signals.ts';

import { adminUrl, readServeFlags, serveFlags } from './options.ts';

export { exit } from './exit.ts';

/**
 * Runs one command.
 * @param args without the program's own name
 * @returns the exit code; what went wrong was written to stderr
 */
export async function run(args: readonly string[]): Promise<number> {
  try {
    return await dispatch(args);
  } catch (error) {
    const failure =
      error instanceof SwivelError ? error : new SwivelError('INTERNAL', messageOf(error), { cause: error });
    process.stderr.write(`swivel: ${failure.line}\n`);
    if (failure.code === 'INTERNAL' && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
    return failure.exitCode;
  }
}

/** Each command loads what it needs, and no more: a health check runs every few seconds. */
async function dispatch(args: readonly string[]): Promise<number> {
  const version = readVersion();
  const { env } = process;
  let command: () => Promise<number> = async () => 0;
  const admin = {
    type: 'string',
    requiresArg: true,
    describe: 'Admin address of the running Swivel [127.0.0.1:9901]',
  } as const;
  const tokenFile = {
    type: 'string',
    requiresArg: true,
    describe: 'File with the bearer token of admin.tokenFile, to change something from another machine',
  } as const;
  const ids = { type: 'string', array: true, nargs: 1 } as const;
  const json = { type: 'boolean', default: false, describe: 'Print JSON' } as const;
  await yargs([...args])
    .scriptName('swivel')
    .usage('$0 [command]\n\nTerminates TLS in front of a plaintext service, and changes certificates while it runs.')
    .command(['serve', '$0'], 'Serve (the default)', serveFlags, (argv) => {
      command = async () => {
        const early = new EarlySignals();
        return (await import('./serve.ts')).serve(readServeFlags(argv, env), version, early);
      };
    })
    .command(
      'check [path]',
      'Validate configuration, certificates and mounts without serving; or the certificates of a path',
      (builder) =>
        serveFlags(builder)
          .positional('path', {
            type: 'string',
            describe: 'A directory or file in place of the configured certificates',
          })
          .option('against', {
            type: 'string',
            requiresArg: true,
            describe: 'Admin address of a running Swivel: say what it would make of them',
          })
          .option('json', json),
      (argv) => {
        const against = argv.against === undefined ? undefined : { url: adminUrl(argv.against, env) };
        const { path } = argv;
        command = async () =>
          (await import('./check.ts')).check(readServeFlags(argv, env), { json: argv['json'] === true, path, against });
      },
    )
    .command(
      'status',
      'Show what a running Swivel serves',
      (builder) =>
        builder.option('admin', admin).option('json', json).option('ready', {
          type: 'boolean',
          default: false,
          describe: 'Only say by the exit code whether it is ready',
        }),
      (argv) => {
        command = async () =>
          (await import('./status.ts')).status(
            { url: adminUrl(argv.admin, env) },
            { json: argv.json, ready: argv.ready },
          );
      },
    )
    .command(
      'reload',
      'Reconcile now',
      (builder) =>
        builder
          .option('admin', admin)
          .option('token-file', tokenFile)
          .option('accept', { ...ids, describe: 'Serve this certificate as it is on disk, whatever the gate says' })
          .option('compromised', { ...ids, describe: 'The key of this certificate is known to others' }),
      (argv) => {
        command = async () =>
          (await import('./reload.ts')).reload(
            { url: adminUrl(argv.admin, env), tokenFile: argv['token-file'] },
            { accept: argv.accept ?? [], compromised: argv.compromised ?? [] },
          );
      },
    )
    .command(
      'rollback [certificate]',
      'Serve an earlier certificate until the files change; what the last change changed when none is named',
      (builder) =>
        builder
          .positional('certificate', { type: 'string', describe: 'Id of a certificate' })
          .option('admin', admin)
          .option('token-file', tokenFile),
      (argv) => {
        command = async () =>
          (await import('./rollback.ts')).rollback(
            { url: adminUrl(argv.admin, env), tokenFile: argv['token-file'] },
            argv.certificate,
          );
      },
    )
    .command(
      'restart-workers',
      'Replace the worker processes one after another, by the program as it is on disk, without failing a request',
      (builder) => builder.option('admin', admin).option('token-file', tokenFile),
      (argv) => {
        command = async () =>
          (await import('./restart-workers.ts')).restartWorkers({
            url: adminUrl(argv.admin, env),
            tokenFile: argv['token-file'],
          });
      },
    )
    .command(
      'dev-cert',
      'Write a development CA and a certificate',
      (builder) =>
        builder
          .option('out', { type: 'string', requiresArg: true, demandOption: true, describe: 'Directory to write to' })
          .option('name', {
            type: 'string',
            array: true,
            requiresArg: true,
            default: ['localhost'],
            describe: 'Host names and IP addresses',
          }),
      (argv) => {
        command = async () => (await import('./dev-cert.ts')).devCert(argv.out, argv.name);
      },
    )
    .strict()
    .locale('en')
    .parserConfiguration({ 'boolean-negation': false, 'camel-case-expansion': false })
    .check(givenOnce)
    .version(version)
    .help()
    .wrap(110)
    .exitProcess(false)
    .fail((message, error) => {
      if (error instanceof SwivelError) throw error;
      // What yargs has to say may take several lines.
      const text = message ?? error?.message ?? catalogue.USAGE.summary;
      throw new SwivelError('USAGE', text.replace(/\s*\n\s*/g, ' '));
    })
    .parseAsync();
  return command();
}

const repeatable = new Set(['_', 'listen', 'certs', 'upstream', 'name', 'accept', 'compromised']);

/** Of two values for one flag neither would be what was meant. */
function givenOnce(argv: Record<string, unknown>): boolean {
  for (const [flag, value] of Object.entries(argv)) {
    if (Array.isArray(value) && !repeatable.has(flag)) throw new SwivelError('USAGE', `--${flag} is given twice`);
  }
  return true;
}
