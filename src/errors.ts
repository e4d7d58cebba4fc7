import { catalogue, type ExitCode } from './catalogue.ts';

export { catalogue, type ExitCode };

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
