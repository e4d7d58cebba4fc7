/** The fields of a request as text, made once for all requests that have the same. */
export class FieldText {
  /** Names and values in turn, Host first; sound ones, for nothing is checked here. */
  readonly headers: readonly string[];
  #first = '';
  #others = '';

  constructor(headers: readonly string[]) {
    this.headers = headers;
  }

  /** The end of the request line, Host, and that the connection is to be kept: servers of HTTP/1.0 would not know. */
  get first(): string {
    if (this.#first === '') this.#write();
    return this.#first;
  }

  /** All others, and the empty line. */
  get others(): string {
    if (this.#first === '') this.#write();
    return this.#others;
  }

  #write(): void {
    const { headers } = this;
    let others = '';
    for (let i = 2; i < headers.length; i += 2) others += `${headers[i]}: ${headers[i + 1]}\r\n`;
    this.#others = inOnePiece(`${others}\r\n`);
    this.#first = inOnePiece(` HTTP/1.1\r\n${headers[0]}: ${headers[1]}\r\nconnection: keep-alive\r\n`);
  }
}

/** The same text. One that was put together is a tree of its parts, which each later use would walk again. */
function inOnePiece(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

/**
 * The head of a request on a connection that is to be kept.
 * @param own fields of this request alone: names and values in turn
 */
export function requestText(method: string, target: string, fields: FieldText, own: readonly string[] = []): string {
  let text = `${method} ${target}${fields.first}`;
  for (let i = 0; i < own.length; i += 2) text += `${own[i]}: ${own[i + 1]}\r\n`;
  return text + fields.others;
}

/** What stands before a chunk of so many octets. */
export function chunkHead(length: number): string {
  return `${length.toString(16)}\r\n`;
}

/** What stands behind a chunk. */
export const chunkTail = '\r\n';

/** The end of a chunked body. @param trailers names and values in turn */
export function lastChunk(trailers: readonly string[] = []): string {
  if (trailers.length === 0) return '0\r\n\r\n';
  let text = '0\r\n';
  for (let i = 0; i < trailers.length; i += 2) text += `${trailers[i]}: ${trailers[i + 1]}\r\n`;
  return `${text}\r\n`;
}
