/** Upstreams: named groups of plaintext targets, the connections to them, and who is asked next. */
export { adopt } from './connect.ts';
export { type DemoUpstream, demoTarget, startDemoUpstream } from './demo.ts';
export type { UpstreamOptions } from './options.ts';
export { type Selectable, select } from './selection.ts';
export { Sweep, type Sweepable } from './sweep.ts';
export type { Target } from './target.ts';
export { type Reached, Upstream } from './upstream.ts';
export type { Framing, Wire, WireUser } from './wire.ts';
export { WireError } from './wire-error.ts';
