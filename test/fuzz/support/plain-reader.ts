import { ChunkDecoder, readRequest, readResponse, readTrailer, untilClose } from '../../../src/http1/index.ts';
import type { NodeMessage } from './node-reader.ts';

/** A message as the parsers of the fast path read it, and where it ends; null where it is not complete or not a body. */
export type PlainMessage = NodeMessage & { readonly end: number | null };

/** What no trailer may be; bodies with such ones are refused where they are used. */
const isFraming = /^(content-length|transfer-encoding)$/i;

/** The requests that are plain, in order, up to the first that is not, or is not complete. */
export function plainRequests(bytes: Buffer): PlainMessage[] {
  const found: PlainMessage[] = [];
  for (let rest = bytes; ; ) {
    const head = readRequest(rest);
    if (typeof head === 'number') return found;
    const { method, target, fields } = head;
    const body = fields.length < 0 ? chunks(rest, head.end) : counted(rest, head.end, fields.length);
    found.push({ start: `${method} ${target}`, fields: fields.headers, ...body });
    if (body.end === null || fields.close) return found;
    rest = rest.subarray(body.end);
  }
}

/** The final response, if its head and those before it are plain; null otherwise. The connection ends behind it. */
export function plainResponse(method: string, bytes: Buffer): PlainMessage | null {
  for (let rest = bytes; ; ) {
    const head = readResponse(rest);
    if (typeof head === 'number' || head.status === 101) return null;
    if (head.status < 200) {
      rest = rest.subarray(head.end);
      continue;
    }
    const bodiless = method === 'HEAD' || head.status === 204 || head.status === 304;
    const message = { start: String(head.status), fields: head.headers };
    if (bodiless) return { ...message, ...counted(rest, head.end, 0) };
    if (head.length === untilClose) return { ...message, ...counted(rest, head.end, rest.length - head.end) };
    return { ...message, ...(head.length < 0 ? chunks(rest, head.end) : counted(rest, head.end, head.length)) };
  }
}

function counted(bytes: Buffer, from: number, length: number): Pick<PlainMessage, 'body' | 'complete' | 'end'> {
  const complete = bytes.length - from >= length;
  const body = bytes.toString('latin1', from, Math.min(bytes.length, from + length));
  return { body, complete, end: complete ? from + length : null };
}

function chunks(bytes: Buffer, from: number): Pick<PlainMessage, 'body' | 'complete' | 'end'> {
  const decoder = new ChunkDecoder();
  let body = '';
  const end = decoder.decode(bytes, from, {
    onChunk: (part) => {
      body += part.toString('latin1');
    },
  });
  const framing = readTrailer(decoder.trailer)?.some((name, i) => i % 2 === 0 && isFraming.test(name)) ?? true;
  const complete = decoder.done && !framing;
  return { body, complete, end: complete ? end : null };
}
