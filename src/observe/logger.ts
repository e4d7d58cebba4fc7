import { createRequire } from 'node:module';
import { type DestinationStream, type Logger, pino } from 'pino';
import type Pretty from 'pino-pretty';
import { instant } from './instant.ts';
import { censored, secretNames, withoutSecrets } from './secrets.ts';
import { TurnBatch } from './turn-batch.ts';

export type { Logger } from 'pino';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export const logFormats = ['auto', 'json', 'pretty'] as const;
export type LogFormat = (typeof logFormats)[number];

export interface LogOptions {
  readonly level: LogLevel;
  /** `auto`: pretty on a terminal, JSON elsewhere. */
  readonly format: LogFormat;
  /** One line for each request. */
  readonly access: boolean;
}

/**
 * Makes the logger: JSON lines on stdout, or a readable form.
 * @param destination where the lines go; stdout when left out
 * @param bindings fields of every line, such as the worker that writes it
 */
export function createLogger(
  options: Pick<LogOptions, 'level' | 'format'>,
  destination?: DestinationStream,
  bindings?: Readonly<Record<string, unknown>>,
): Logger {
  const readable = options.format === 'pretty' || (options.format === 'auto' && process.stdout.isTTY === true);
  const settings = {
    level: options.level,
    base: bindings ?? null,
    timestamp: () => `,"time":"${instant(Date.now())}"`,
    formatters: { level: (label: string) => ({ level: label }), log: withoutSecrets },
    // The fields of child loggers.
    redact: { paths: secretNames, censor: censored },
  };
  if (destination) return pino(settings, destination);
  if (readable) {
    // Hardly anybody reads the log of a server on a terminal: the others need not have it in memory.
    const pretty = createRequire(import.meta.url)('pino-pretty') as typeof Pretty;
    return pino(settings, pretty({ sync: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l' }));
  }
  return pino(settings, new TurnBatch(pino.destination({ dest: 1, sync: true })));
}
