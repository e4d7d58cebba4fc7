/** The ways in which certificates come to change in real life; each is done by the real program where there is one. */
export { kubernetes, vaultAgent } from './agents.ts';
export { Certbot } from './certbot.ts';
export { apart, killed, recreated } from './clumsy.ts';
export { copy, rollBack, rsyncInPlace, rsyncRename } from './copying.ts';
export { editInPlace, vim } from './editors.ts';
export { MountNamespace, unshareMounts } from './mount-namespace.ts';
export { behindFuse, belowOverlay, mountedOver } from './mounts.ts';
export { type Pebble, startPebble } from './pebble.ts';
export type { Files, Scope, Write, WriteOptions, Writer } from './types.ts';
