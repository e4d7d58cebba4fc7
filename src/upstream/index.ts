/** Upstreams: named groups of plaintext targets, their connection pools, and who is asked next. */
export { type DemoUpstream, startDemoUpstream } from './demo.ts';
export { type Selectable, select } from './selection.ts';
export { noteConnection, Target, Upstream, type UpstreamOptions } from './upstream.ts';
