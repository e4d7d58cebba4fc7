/** A PEM block (RFC 7468). */
export interface PemBlock {
  /** `CERTIFICATE`, `PRIVATE KEY`, … */
  readonly label: string;
  readonly pem: string;
}

export interface PemFile {
  readonly blocks: readonly PemBlock[];
  /** Labels of blocks that begin and do not end: the file was cut short. */
  readonly unfinished: readonly string[];
}

const boundary = /^-----(BEGIN|END) ([A-Z0-9 ]+)-----\s*$/;
const dashes = '-----';

/** Splits a file into its PEM blocks. Text between them is passed over (RFC 7468 §2). */
export function parsePem(text: string): PemFile {
  const blocks: PemBlock[] = [];
  const unfinished: string[] = [];
  let label: string | null = null;
  let begin = 0;
  // Only lines that begin with dashes are looked at: with thousands of files, looking at each would be felt.
  for (let at = lineFrom(text, 0); at >= 0; at = lineFrom(text, at + dashes.length)) {
    const feed = text.indexOf('\n', at);
    const end = feed < 0 ? text.length : feed;
    const match = boundary.exec(text.slice(at, end));
    if (match?.[1] === 'BEGIN') {
      if (label !== null) unfinished.push(label);
      label = match[2] ?? '';
      begin = at;
    } else if (match && label !== null && match[2] === label) {
      blocks.push({ label, pem: `${withoutTrailingSpace(text.slice(begin, end))}\n` });
      label = null;
    }
  }
  if (label !== null) unfinished.push(label);
  return { blocks, unfinished };
}

/** Where the next line begins that starts with dashes; negative when there is none. */
function lineFrom(text: string, from: number): number {
  if (from === 0 && text.startsWith(dashes)) return 0;
  const found = text.indexOf(`\n${dashes}`, Math.max(0, from - 1));
  return found < 0 ? found : found + 1;
}

function withoutTrailingSpace(block: string): string {
  if (!/[^\S\n](?:\n|$)/.test(block)) return block;
  return block
    .split(/\r?\n/)
    .map((line) => line.trimEnd())
    .join('\n');
}

/** Whether a label is one of a certificate. */
export function isCertificateLabel(label: string): boolean {
  return label === 'CERTIFICATE' || label === 'X509 CERTIFICATE' || label === 'TRUSTED CERTIFICATE';
}

/** Whether a label is one of a private key, encrypted or not. */
export function isKeyLabel(label: string): boolean {
  return label.endsWith('PRIVATE KEY');
}

const privateKey =
  /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|(?=-----BEGIN )|$)/g;

/** A file that holds certificates and key, without the key, whole or cut short: certificates are no secret and are shown. */
export function withoutKeys(text: string): string {
  return text.replace(privateKey, '');
}
