/** Bytes of a session ticket key: name, HMAC and AES-128 key; or with longer ones and AES-256. */
const lengths: readonly number[] = [48, 80];
/** 48 and 80 bytes in base64 (RFC 4648 §4). */
const base64 = /^(?:[A-Za-z0-9+/]{64}|[A-Za-z0-9+/]{107}=)$/;
/** Nothing but printable ASCII and ends of lines. */
const text = /^[\x20-\x7e\r\n\t]*$/;

/** The key that a file names for sealing, or what is wrong with the file; never what it holds. */
export type TicketKeyFile = { readonly key: Buffer } | { readonly fault: string };

/**
 * Reads a file of session ticket keys, as nginx has it (`ssl_session_ticket_key`: one key, 48 or 80 raw bytes) or as HAProxy has it
 * (`tls-ticket-keys`: base64, one key in a line, all of one length). Of several keys the last but one seals, as with HAProxy: the last one
 * is for the next renewal, known everywhere before it is used. Pure.
 */
export function parseTicketKeys(bytes: Buffer): TicketKeyFile {
  if (bytes.length === 0) return { fault: 'is empty' };
  if (lengths.includes(bytes.length)) {
    // No key in base64 is that short: random bytes are never text, one that was cut off is.
    return text.test(bytes.toString('latin1'))
      ? { fault: `holds ${bytes.length} characters of text, not random bytes` }
      : sound(bytes, 'holds a key');
  }
  const lines = bytes
    .toString('latin1')
    .split('\n')
    .map((line) => line.trim());
  const keys: Buffer[] = [];
  for (const [i, line] of lines.entries()) {
    if (line === '') continue;
    if (!base64.test(line)) {
      const found = keys.length === 0 ? `is ${bytes.length} bytes long, and ` : '';
      return { fault: `${found}holds no 48 or 80 bytes in base64 in line ${i + 1}` };
    }
    const decoded = sound(Buffer.from(line, 'base64'), `holds a key in line ${i + 1}`);
    if ('fault' in decoded) return decoded;
    keys.push(decoded.key);
  }
  const key = keys.at(-2) ?? keys[0];
  if (!key) return { fault: 'holds nothing but empty lines' };
  if (keys.some(({ length }) => length !== key.length)) return { fault: 'holds keys of 48 and keys of 80 bytes' };
  return { key };
}

/** What was reserved and is not written yet reads as zeros. */
function sound(key: Buffer, subject: string): TicketKeyFile {
  return key.every((byte) => byte === key[0]) ? { fault: `${subject} of one byte repeated` } : { key };
}
