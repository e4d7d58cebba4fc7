const longest = 300;
/** Longer texts are cut before they are looked at. */
const considered = 64 * 1024;
/** Lines of a plug-in that are let through from one load to the next. */
const linesPerLoad = 100;

const pem = /-----BEGIN[\s\S]*?(?:-----END[^\n-]*-----|$)/g;
/** A line of PEM without its boundaries is 64 characters of base64 (RFC 7468 §2), 76 where MIME wrote it. */
const base64 = /[A-Za-z0-9+/]{64,}={0,2}/g;

/**
 * A text of a plug-in as it may be shown: its first line, without control characters and anything that looks like PEM, at
 * most 300 characters.
 */
export function presentable(text: string): string {
  const line =
    withoutPem(text.slice(0, considered))
      .split(/[\r\n\u2028\u2029]+/)
      .find((one) => one.trim() !== '') ?? '';
  return line.replace(/\p{C}/gu, ' ').trim().slice(0, longest);
}

function withoutPem(text: string): string {
  return text.replace(pem, '[PEM]').replace(base64, '[base64]');
}

/** What anything that a plug-in threw says, {@link presentable}. */
export function complaintOf(error: unknown): string {
  try {
    const text = error instanceof Error ? error.message || error.name : String(error);
    return presentable(text) || 'no message';
  } catch {
    return 'something that cannot be shown was thrown';
  }
}

/** What a plug-in logs and prints: lets a hundred {@link presentable} lines through, and says once that it drops the rest. */
export class PluginLog {
  readonly #write: (line: string) => void;
  #left = linesPerLoad;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  line(text: string): void {
    if (this.#left < 0) return;
    const line = presentable(text);
    if (line === '') return;
    this.#left -= 1;
    this.#write(this.#left < 0 ? 'further lines are dropped until the next load' : line);
  }

  /** Each line of a text; a PEM block counts as one. */
  print(text: string): void {
    if (this.#left < 0) return;
    const lines = withoutPem(text.slice(0, considered)).split('\n', linesPerLoad + 1);
    for (const line of lines) this.line(line);
  }

  /** Starts over: the next load begins. */
  refill(): void {
    this.#left = linesPerLoad;
  }
}
