import { STATUS_CODES } from 'node:http';

/** The head of an answer as HTTP/1.1 writes it, and how its body is framed. */
export interface ResponseText {
  readonly text: string;
  readonly chunked: boolean;
  /** The connection ends with this answer. */
  readonly close: boolean;
}

const statusLines = new Map<number, string>();

function statusLine(status: number): string {
  const known = statusLines.get(status);
  if (known !== undefined) return known;
  const line = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'unknown'}\r\n`;
  statusLines.set(status, line);
  return line;
}

/** An interim response (RFC 9110 §15.2). @param headers names and values in turn */
export function interimText(status: number, headers: readonly string[]): string {
  let text = statusLine(status);
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return `${text}\r\n`;
}

/**
 * Writes the head of an answer. A body without chunks has no trailers to announce (RFC 9110 §6.6.2), an answer 204 has no length (RFC 9110 §8.6), and every answer a
 * date (RFC 9110 §6.6.1).
 * @param method of the request
 * @param headers names and values in turn
 * @param close whether the connection is to end; `Connection: close` among the fields says so too
 * @param keepAlive what is said of the connection when it goes on: field lines
 */
export function responseText(
  method: string,
  status: number,
  headers: readonly string[],
  close: boolean,
  keepAlive: string,
): ResponseText {
  const bodiless = status === 204 || status === 304 || method === 'HEAD';
  let fields = '';
  let trailer = '';
  let sized = false;
  let dated = false;
  let last = close;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    const line = `${name}: ${headers[i + 1]}\r\n`;
    switch (name.length) {
      case 4:
        dated ||= name.toLowerCase() === 'date';
        break;
      case 7:
        if (name.toLowerCase() !== 'trailer') break;
        trailer += line;
        continue;
      case 10:
        if (name.toLowerCase() !== 'connection') break;
        last ||= headers[i + 1] === 'close';
        continue;
      case 14:
        if (name.toLowerCase() !== 'content-length') break;
        sized = true;
        if (status === 204) continue;
        break;
      default:
    }
    fields += line;
  }
  const chunked = !sized && !bodiless;
  const framing = chunked ? `${trailer}Transfer-Encoding: chunked\r\n` : '';
  const date = dated ? '' : dateLine();
  const text = `${statusLine(status)}${fields}${framing}${date}${last ? 'Connection: close\r\n' : keepAlive}\r\n`;
  return { text, chunked, close: last };
}

const dates = { second: 0, line: '' };

/** Made once for each second. */
function dateLine(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dates.second) {
    dates.second = second;
    dates.line = `Date: ${new Date(second * 1000).toUTCString()}\r\n`;
  }
  return dates.line;
}
