/** The fields of a request as text, made once for all requests that have the same. */
export class FieldText {
  /** Names and values in turn, Host first; sound ones, for nothing is checked here. */
  readonly headers: readonly string[];
  #host = '';
  #others = '';

  constructor(headers: readonly string[]) {
    this.headers = headers;
  }

  /** Host, and that the connection is to be kept: servers of HTTP/1.0 would not know. */
  get host(): string {
    if (this.#host === '') this.#write();
    return this.#host;
  }

  /** All others. */
  get others(): string {
    if (this.#host === '') this.#write();
    return this.#others;
  }

  #write(): void {
    const { headers } = this;
    let others = '';
    for (let i = 2; i < headers.length; i += 2) others += `${headers[i]}: ${headers[i + 1]}\r\n`;
    this.#others = others;
    this.#host = `${headers[0]}: ${headers[1]}\r\nconnection: keep-alive\r\n`;
  }
}

/**
 * The head of a request on a connection that is to be kept.
 * @param own fields of this request alone: names and values in turn
 */
export function requestText(method: string, target: string, fields: FieldText, own: readonly string[] = []): string {
  let text = `${method} ${target} HTTP/1.1\r\n${fields.host}`;
  for (let i = 0; i < own.length; i += 2) text += `${own[i]}: ${own[i + 1]}\r\n`;
  return `${text}${fields.others}\r\n`;
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
