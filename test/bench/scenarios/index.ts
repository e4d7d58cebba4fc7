import type { Scenario } from '../suite/types.ts';
import { handshakeEcdsa, handshakeResumed, handshakeRsa, handshakeTls12 } from './handshakes.ts';
import { idle } from './idle.ts';
import { manyCertificates } from './many-certificates.ts';
import { accessLog, body10m, body100k, http2, keepAlive, upload, uploadChunked } from './requests.ts';
import { rotating, rotatingPaced } from './rotating.ts';
import { websocket } from './websocket.ts';

/** Everything that is measured, in this order. */
export const everyScenario: readonly Scenario[] = [
  keepAlive,
  accessLog,
  body100k,
  body10m,
  upload,
  uploadChunked,
  http2,
  handshakeEcdsa,
  handshakeTls12,
  handshakeRsa,
  handshakeResumed,
  websocket,
  idle,
  rotating,
  rotatingPaced,
  manyCertificates,
];
