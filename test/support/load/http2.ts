import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { bodyFor } from './bodies.ts';
import { REQUEST_TIMEOUT_MS, type Run, readText, reasonOf } from './run.ts';

type Outcome = { result: 'ok' } | { result: 'refused' } | { result: 'failed'; reason: string };

/**
 * A client with one HTTP/2 connection and parallel streams. After GOAWAY it opens another connection for new streams
 * and lets those under way end. Only streams that were certainly not processed are sent again.
 */
export async function http2Client(run: Run, streams: number, thinkMs: number): Promise<void> {
  let session: ClientHttp2Session | undefined;
  const currentSession = () => {
    if (!session || session.closed || session.destroyed) session = openSession(run);
    return session;
  };
  const streamLoop = async () => {
    await run.pause(Math.random() * thinkMs);
    while (!run.stopping.aborted) {
      await requestUntilProcessed(run, currentSession);
      await run.pause(thinkMs);
    }
  };
  await Promise.all(Array.from({ length: streams }, streamLoop));
  session?.close();
}

/** Node closes the session gracefully when GOAWAY without error arrives; `closed` is then true at once. */
function openSession(run: Run): ClientHttp2Session {
  const { host, port, servername } = run.target;
  run.connections.http2++;
  const session = connect(`https://${host}:${port}`, { servername, secureContext: run.secureContext });
  // Every stream of the session reports the failure by itself.
  session.on('error', () => {});
  session.setMaxListeners(0);
  return session;
}

async function requestUntilProcessed(run: Run, currentSession: () => ClientHttp2Session): Promise<void> {
  const path = run.uniquePath('http2');
  const began = performance.now();
  while (performance.now() - began < REQUEST_TIMEOUT_MS) {
    const outcome = await exchange(currentSession(), run.target.servername, path);
    if (outcome.result === 'refused') {
      run.refusedStreams++;
      continue;
    }
    if (outcome.result === 'ok') run.succeed('http2', performance.now() - began);
    else run.fail('http2', outcome.reason);
    return;
  }
  run.fail('http2', 'refused again and again');
}

async function exchange(session: ClientHttp2Session, authority: string, path: string): Promise<Outcome> {
  let lastProcessedId = Number.POSITIVE_INFINITY;
  const onGoaway = (_code: number, lastStreamId: number) => {
    lastProcessedId = lastStreamId;
  };
  session.on('goaway', onGoaway);
  let phase = 'before the response';
  let stream: ClientHttp2Stream | undefined;
  try {
    stream = session.request({ ':path': path, ':authority': authority });
    stream.setTimeout(REQUEST_TIMEOUT_MS, () => stream?.destroy(new Error('timed out')));
    let status: number | undefined;
    stream.once('response', (headers) => {
      status = headers[':status'];
      phase = 'in the body';
    });
    const body = await readText(stream);
    // A reset with CANCEL or an early end of the connection may look like the end of the body.
    if (status === undefined || stream.rstCode !== constants.NGHTTP2_NO_ERROR) throw new Error('cut');
    if (status !== 200) throw new Error(`status ${status}`);
    if (body !== bodyFor(path)) throw new Error('wrong content');
    return { result: 'ok' };
  } catch (error) {
    if (isUnprocessed(stream, lastProcessedId)) return { result: 'refused' };
    return { result: 'failed', reason: `${reasonOf(error)} (${phase})` };
  } finally {
    session.off('goaway', onGoaway);
  }
}

/** RFC 9113, 8.7: a stream above the last one in GOAWAY, or reset with REFUSED_STREAM, may safely be sent again. */
function isUnprocessed(stream: ClientHttp2Stream | undefined, lastProcessedId: number): boolean {
  if (!stream) return false;
  return (stream.id ?? 0) > lastProcessedId || stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
}
