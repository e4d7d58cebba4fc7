/**
 * Commits a thousand times beneath an open listener, collects garbage, and prints how many of the contexts are still alive.
 * Runs with --expose-gc.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { TlsListener } from '../../../src/tls/index.ts';
import { freshIdentity, serve, storeOf } from './identities.ts';

const identities = [await freshIdentity('a'), await freshIdentity('a')];
const constant = await freshIdentity('b');
const store = await storeOf([constant]);
const ignore = () => {};
const listener = new TlsListener(
  { host: '127.0.0.1', port: 0 },
  store,
  { minVersion: 'TLSv1.2', handshakeTimeout: 1000, sessionTimeout: 1000 },
  { accepted: ignore, identified: ignore, secured: ignore, failed: ignore },
);
await listener.open();
const contexts: WeakRef<object>[] = [];
for (let i = 0; i < 1000; i++) {
  const identity = identities[i % 2];
  if (!identity) throw new Error('there are two');
  await serve(store, identity, constant);
  contexts.push(new WeakRef(store.current.served.get('a')?.context ?? {}));
}
const collect = globalThis.gc;
if (!collect) throw new Error('needs --expose-gc');
let alive = contexts.length;
// Finalisers and promise reactions of one collection free what the next one takes.
for (let i = 0; i < 10 && alive > 1; i++) {
  await nextTurn();
  collect();
  alive = contexts.filter((context) => context.deref()).length;
}
process.stdout.write(String(alive));
await listener.close();
