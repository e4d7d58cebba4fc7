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

/** Splits a file into its PEM blocks. Text between them is passed over (RFC 7468 §2). */
export function parsePem(text: string): PemFile {
  const blocks: PemBlock[] = [];
  const unfinished: string[] = [];
  let label: string | null = null;
  let lines: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    const match = boundary.exec(line);
    if (match?.[1] === 'BEGIN') {
      if (label !== null) unfinished.push(label);
      label = match[2] ?? '';
      lines = [line.trimEnd()];
    } else if (match && label !== null && match[2] === label) {
      lines.push(line.trimEnd());
      blocks.push({ label, pem: `${lines.join('\n')}\n` });
      label = null;
    } else if (label !== null) {
      lines.push(line.trimEnd());
    }
  }
  if (label !== null) unfinished.push(label);
  return { blocks, unfinished };
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
