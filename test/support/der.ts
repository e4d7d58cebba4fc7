/** An element: tag, length, content. */
export function element(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const digits = content.length.toString(16);
  const length = Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex');
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, content]);
}

/** SEQUENCE of what is encoded. */
export const sequence = (...parts: readonly Uint8Array[]) => element(0x30, ...parts);
/** INTEGER; the content in hexadecimal. */
export const integer = (hex: string) => element(0x02, Buffer.from(hex, 'hex'));
/** UTCTime, as it is written: `YYMMDDhhmmssZ`. */
export const utcTime = (text: string) => element(0x17, Buffer.from(text));
/** OBJECT IDENTIFIER; the content in hexadecimal. */
export const oid = (hex: string) => element(0x06, Buffer.from(hex, 'hex'));

/** An extension; `oidHex` is the content of its object identifier. */
export function extension(oidHex: string, critical: boolean, value: Buffer): Buffer {
  return sequence(oid(oidHex), ...(critical ? [element(0x01, Buffer.from([0xff]))] : []), element(0x04, value));
}
