/** Runs the upstream in a process of its own (see `forkUpstream`). */
import { startUpstream } from './upstream.ts';

const { port } = await startUpstream();
process.on('disconnect', () => process.exit());
process.send?.({ port });
