/**
 * The head of a request on a connection that is to be kept; that is said for servers of HTTP/1.0, who would not know.
 * @param headers names and values in turn, Host first; sound ones, for nothing is checked here
 */
export function requestText(method: string, target: string, headers: readonly string[]): string {
  let text = `${method} ${target} HTTP/1.1\r\n${headers[0]}: ${headers[1]}\r\nconnection: keep-alive\r\n`;
  for (let i = 2; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return `${text}\r\n`;
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
