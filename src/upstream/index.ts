/** Upstreams: named groups of plaintext targets, their connection pools, and who is asked next. */
export { adopt } from './connect.ts';
export { type DemoUpstream, demoTarget, startDemoUpstream } from './demo.ts';
export type { UpstreamOptions } from './options.ts';
export { type Selectable, select } from './selection.ts';
export { type ConnectionUsed, noteConnection, Target } from './target.ts';
export { type Reached, Upstream } from './upstream.ts';
