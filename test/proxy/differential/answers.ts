/** An answer as a client got it, without what is different each time. */
export interface SeenAnswer {
  readonly status: string;
  /** `name: value`, the name in lower case, sorted; without Date and the value of the request id. */
  readonly fields: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
  readonly complete: boolean;
}

const bodiless = /^(1\d\d|204|304)$/;

/**
 * Takes everything apart that came over one connection.
 * @param text each character one octet
 * @param method of all requests; when left out, the answers say it (`X-Method`)
 */
export function readAnswers(text: string, method = ''): SeenAnswer[] {
  const answers: SeenAnswer[] = [];
  for (let at = 0; at < text.length; ) {
    const head = text.indexOf('\r\n\r\n', at);
    if (head < 0) {
      answers.push({ status: text.slice(at), fields: [], body: '', trailers: [], complete: false });
      break;
    }
    const [line = '', ...lines] = text.slice(at, head).split('\r\n');
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1] ?? '';
    const fields = normal(lines);
    const body = readBody(text, head + 4, method === 'HEAD' ? '304' : status, fields);
    answers.push({ status: line, fields, body: body.text, trailers: body.trailers, complete: body.end !== null });
    if (body.end === null) break;
    at = body.end;
  }
  return answers;
}

interface Body {
  readonly text: string;
  readonly trailers: readonly string[];
  readonly end: number | null;
}

function readBody(text: string, from: number, status: string, fields: readonly string[]): Body {
  const none = { text: '', trailers: [], end: from };
  if (bodiless.test(status) || fields.includes('x-method: HEAD')) return none;
  if (fields.includes('transfer-encoding: chunked')) return readChunks(text, from);
  const length = fields.find((field) => field.startsWith('content-length: '))?.slice(16);
  if (length === undefined) return { text: text.slice(from), trailers: [], end: text.length };
  // An answer of our own to HEAD does not say so.
  if (text.length === from || text.startsWith('HTTP/1.1 ', from)) return none;
  const end = from + Number(length);
  return { text: text.slice(from, end), trailers: [], end: end <= text.length ? end : null };
}

function readChunks(text: string, from: number): Body {
  let body = '';
  for (let at = from; ; ) {
    const end = text.indexOf('\r\n', at);
    const size = text.slice(at, Math.max(at, end));
    if (end < 0 || !/^[0-9a-f]+$/i.test(size)) return { text: body, trailers: [], end: null };
    const length = Number.parseInt(size, 16);
    if (length === 0) {
      const last = text.indexOf('\r\n\r\n', end);
      if (last < 0) return { text: body, trailers: [], end: null };
      return {
        text: body,
        trailers: normal(
          text
            .slice(end + 2, last)
            .split('\r\n')
            .filter(Boolean),
        ),
        end: last + 4,
      };
    }
    body += text.slice(end + 2, end + 2 + length);
    at = end + 2 + length + 2;
    if (text.slice(at - 2, at) !== '\r\n') return { text: body, trailers: [], end: null };
  }
}

function normal(lines: readonly string[]): string[] {
  return lines
    .map((line) => line.replace(/^[^:]*/, (name) => name.toLowerCase()))
    .filter((line) => !line.startsWith('date: '))
    .map((line) => line.replace(/^x-request-id: [0-9a-f-]{36}$/, 'x-request-id: …'))
    .sort();
}
