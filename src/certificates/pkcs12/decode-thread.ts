import { parentPort } from 'node:worker_threads';
import type { OpenedMessage, OpenMessage } from './messages.ts';
import { openKeystore } from './open.ts';

/** The thread's side: opens one keystore after another. */
parentPort?.on('message', ({ call, bytes, passphrase }: OpenMessage) => {
  const reply: OpenedMessage = { call, opened: openKeystore(bytes, passphrase) };
  parentPort?.postMessage(reply);
});
