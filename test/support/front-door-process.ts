/** Runs a front door in a process of its own, so that its memory is nobody else's. Told the upstream, then asked for its memory. */
import { startFrontDoor } from './swivel.ts';

let peak = 0;
process.on('disconnect', () => process.exit());
process.once('message', async ({ upstream }: { upstream: string }) => {
  const { port, ca } = await startFrontDoor({ after: () => {} }, { upstream });
  setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss());
  }, 10);
  process.on('message', () => {
    process.send?.({ rss: process.memoryUsage.rss(), peak });
    peak = 0;
  });
  process.send?.({ port, ca });
});
