/** Flags of Node.js and V8 that let others look into a process or write its memory or TLS secrets to a file, as prefixes. */
const lookingInside = [
  '--inspect',
  '--debug',
  '--heapsnapshot-',
  '--heap-snapshot-',
  '--heap-prof',
  '--heap-dump',
  '--heapdump',
  '--report-on-',
  '--report-signal',
  '--report-uncaught-exception',
  '--abort-on-',
  '--tls-keylog',
];

/** Those of them whose value may be the next argument. */
const withValue = new Set([
  '--inspect-port',
  '--inspect-publish-uid',
  '--debug-port',
  '--heapsnapshot-near-heap-limit',
  '--heapsnapshot-signal',
  '--heap-prof-dir',
  '--heap-prof-interval',
  '--heap-prof-name',
  '--report-signal',
  '--tls-keylog',
]);

/** One argument as it is written, and as Node.js reads it. */
interface Argument {
  readonly written: string;
  readonly read: string;
}

/** Arguments without the flags that let others look into a process, and the names of the flags taken out. */
export function withoutLooking(given: readonly Argument[]): { readonly kept: string[]; readonly removed: string[] } {
  const kept: string[] = [];
  const removed: string[] = [];
  for (let index = 0; index < given.length; index++) {
    const { written, read } = given[index] as Argument;
    const [name = ''] = read.split('=', 1);
    // Node.js and V8 take underscores for dashes.
    const flag = name.replaceAll('_', '-');
    if (!lookingInside.some((prefix) => flag.startsWith(prefix))) {
      kept.push(written);
      continue;
    }
    removed.push(flag);
    if (name === read && withValue.has(flag)) index += 1;
  }
  return { kept, removed };
}

/**
 * Splits NODE_OPTIONS as Node.js does: at spaces outside of double quotes; a backslash escapes, inside of quotes only.
 * @returns null for a text that Node.js refuses
 */
export function splitNodeOptions(text: string): Argument[] | null {
  const found: Argument[] = [];
  let read: string | null = null;
  let start = 0;
  let quoted = false;
  const end = (index: number) => {
    if (read !== null) found.push({ written: text.slice(start, index), read });
    read = null;
    start = index + 1;
  };
  for (let index = 0; index < text.length; index++) {
    let char = text[index] as string;
    if (char === ' ' && !quoted) {
      end(index);
      continue;
    }
    if (char === '"') {
      quoted = !quoted;
      continue;
    }
    if (char === '\\' && quoted) {
      index += 1;
      if (index === text.length) return null;
      char = text[index] as string;
    }
    read = (read ?? '') + char;
  }
  end(text.length);
  return quoted ? null : found;
}
