import { randomFillSync } from 'node:crypto';

/** Ids that are made at once. */
const batch = 128;
const size = 36;
const random = Buffer.allocUnsafeSlow(batch * 16);
const text = Buffer.allocUnsafeSlow(batch * size);
const digits = Buffer.from('0123456789abcdef');

let ids = '';
let next = batch;

/**
 * Makes a random UUID (version 4, RFC 9562 §5.4). Those of `crypto.randomUUID` are put together from two dozen strings, and stay so until they are
 * written, which a request id is twice: these are slices of one text.
 */
export function createRequestId(): string {
  if (next === batch) refill();
  const id = ids.slice(next * size, next * size + size);
  next += 1;
  return id;
}

function refill(): void {
  randomFillSync(random);
  for (let id = 0, from = 0, to = 0; id < batch; id += 1) {
    random[from + 6] = ((random[from + 6] as number) & 0x0f) | 0x40;
    random[from + 8] = ((random[from + 8] as number) & 0x3f) | 0x80;
    for (let i = 0; i < 16; i += 1) {
      const octet = random[from++] as number;
      if (i === 4 || i === 6 || i === 8 || i === 10) text[to++] = 0x2d;
      text[to++] = digits[octet >> 4] as number;
      text[to++] = digits[octet & 15] as number;
    }
  }
  ids = text.toString('latin1');
  next = 0;
}
