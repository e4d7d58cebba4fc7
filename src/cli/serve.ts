import { relative } from 'node:path';
import { demoDirectory, type Running, start } from '../app/index.ts';
import { goFirst, limitCapabilities, workerIdentity } from '../cluster/index.ts';
import { type Config, loadConfig } from '../config/index.ts';
import { formatAddress } from '../tls/index.ts';
import type { EarlySignals } from './early-signals.ts';
import type { ServeFlags } from './options.ts';

/** Serves until a signal ends it. @param early hands over its signals once they are listened to @returns the exit code */
export async function serve(flags: ServeFlags, version: string, early: EarlySignals): Promise<number> {
  const config = await loadConfig(flags.config, flags.overrides, flags.defaults);
  if (workerIdentity(config.process)) {
    // While it may.
    goFirst();
    // Does not come back when there is something to give up: the process begins anew without it.
    const kept = limitCapabilities({ writes: config.certificates.some(({ development }) => development) });
    if (kept) process.stderr.write(`swivel: ${kept.code}: ${kept.message}; ${kept.remedy}\n`);
  }
  const running = await start(config, version);
  printDemo(config, running);
  const stopped = untilStopped(running);
  early.handOver();
  return stopped;
}

function untilStopped(running: Running): Promise<number> {
  const { logger } = running;
  const level = logger.level;
  let stopping = false;
  return new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals) => {
      if (stopping) {
        logger.warn({ event: 'stopping', signal }, 'a second signal: stopping at once');
        running.abandon();
        return;
      }
      stopping = true;
      void running.stop().then(({ cut }) => {
        if (cut > 0) logger.warn({ event: 'stopped', cut }, `stopped; ${cut} connections had to be cut`);
        else logger.info({ event: 'stopped', cut }, 'stopped');
        resolve(0);
      });
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
    process.on('SIGHUP', () => {
      if (stopping) return;
      void running.reload().then(
        (report) => logger.info({ event: 'reload', generation: report.generation }, 'reconciled on SIGHUP'),
        () => {},
      );
    });
    process.on('SIGUSR2', () => {
      running.setLogLevel(logger.level === 'debug' ? level : 'debug');
      logger.info({ event: 'log-level', logLevel: logger.level }, `log level is ${logger.level}`);
    });
  });
}

/** What to try when the demo runs: lines that work as printed. */
function printDemo(config: Config, running: Running): void {
  const directory = demoDirectory(config);
  const port = running.listeners[0]?.port;
  if (directory === null || port === undefined) return;
  const path = relative(process.cwd(), directory);
  const admin = running.admin ? formatAddress(running.admin) : '';
  const elsewhere = admin === '127.0.0.1:9901' ? '' : ` --admin ${admin}`;
  const lines = [
    '',
    '  Swivel serves a demo upstream with a development certificate. Try, in another terminal:',
    '',
    `    curl --cacert ${path}/ca.crt https://localhost:${port}/`,
    '',
    '  and rotate the certificate while you watch (the next request shows the new one):',
    '',
    `    npm run swivel -- dev-cert --out ${path} --name localhost`,
    ...(running.admin ? [`    npm run swivel -- status${elsewhere}`] : []),
    '',
  ];
  process.stderr.write(`${lines.join('\n')}\n`);
}
