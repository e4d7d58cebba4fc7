import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { isDownloadAt } from './bodies.ts';
import { requestOptions } from './http1.ts';
import { type Run, reasonOf } from './run.ts';

const PACE_INTERVAL_MS = 20;
const END_TIMEOUT_MS = 20_000;
/** Kept back until the end of the run, however long that takes. */
const RESERVE_BYTES = 1024 * 1024;

/**
 * Reads a long response so slowly that it lasts for the run: whoever does not read makes the sender wait. The order
 * to stop lifts the brake, and the rest is read at full speed.
 */
export async function slowDownload(run: Run, bytes: number, durationMs: number): Promise<void> {
  const began = performance.now();
  run.download = { bytes: 0, expected: bytes, ok: false };
  try {
    const response = await startDownload(run, bytes);
    for await (const chunk of response as AsyncIterable<Buffer>) {
      if (!isDownloadAt(run.download.bytes, chunk)) throw new Error('wrong content');
      run.download.bytes += chunk.length;
      await brake(run, began, durationMs);
    }
    if (run.download.bytes !== bytes) throw new Error(`ended after ${run.download.bytes} bytes`);
    run.download.ok = true;
    run.succeed('download', performance.now() - began);
  } catch (error) {
    run.fail('download', reasonOf(error));
  }
}

function startDownload(run: Run, bytes: number): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = https.get(requestOptions(run, `/big?bytes=${bytes}`, false), (response) => {
      if (response.statusCode === 200) resolve(response);
      else reject(new Error(`status ${response.statusCode}`));
    });
    // Stays for good: an error in the body also reaches its reader.
    request.on('error', reject);
    const expire = () => request.destroy(new Error('did not end in time'));
    run.stopping.addEventListener('abort', () => setTimeout(expire, END_TIMEOUT_MS).unref(), { once: true });
  });
}

async function brake(run: Run, began: number, durationMs: number): Promise<void> {
  const { expected } = run.download;
  const allowed = () => {
    const elapsed = performance.now() - began;
    return Math.min((expected * elapsed) / durationMs, expected - RESERVE_BYTES);
  };
  while (!run.stopping.aborted && run.download.bytes > allowed()) await run.pause(PACE_INTERVAL_MS);
}
