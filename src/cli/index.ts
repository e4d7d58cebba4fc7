import { readFileSync } from 'node:fs';
import yargs from 'yargs';
import { catalogue, messageOf, SwivelError } from '../errors.ts';
import { adminUrl, readServeFlags, serveFlags } from './options.ts';

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
  const admin = { type: 'string', describe: 'Admin address of the running Swivel [127.0.0.1:9901]' } as const;
  const json = { type: 'boolean', default: false, describe: 'Print JSON' } as const;
  await yargs([...args])
    .scriptName('swivel')
    .usage('$0 [command]\n\nTerminates TLS in front of a plaintext service, and changes certificates while it runs.')
    .command(['serve', '$0'], 'Serve (the default)', serveFlags, (argv) => {
      command = async () => (await import('./serve.ts')).serve(readServeFlags(argv, env), version);
    })
    .command(
      'check',
      'Validate configuration and certificates without serving',
      (builder) => serveFlags(builder).option('json', json),
      (argv) => {
        command = async () => (await import('./check.ts')).check(readServeFlags(argv, env), argv['json'] === true);
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
          (await import('./status.ts')).status(adminUrl(argv.admin, env), { json: argv.json, ready: argv.ready });
      },
    )
    .command(
      'reload',
      'Reconcile now',
      (builder) => builder.option('admin', admin),
      (argv) => {
        command = async () => (await import('./reload.ts')).reload(adminUrl(argv.admin, env));
      },
    )
    .command(
      'dev-cert',
      'Write a development CA and a certificate',
      (builder) =>
        builder
          .option('out', { type: 'string', demandOption: true, describe: 'Directory to write to' })
          .option('name', {
            type: 'string',
            array: true,
            default: ['localhost'],
            describe: 'Host names and IP addresses',
          }),
      (argv) => {
        command = async () => (await import('./dev-cert.ts')).devCert(argv.out, argv.name);
      },
    )
    .strict()
    .version(version)
    .help()
    .wrap(110)
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new SwivelError('USAGE', message ?? catalogue.USAGE.summary);
    })
    .parseAsync();
  return command();
}

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
