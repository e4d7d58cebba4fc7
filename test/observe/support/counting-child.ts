/**
 * Counts as fast as it can on a sheet in the files 4 and 5, the same number everywhere in each turn, and tells on 6 what has been written out. Ends by
 * being killed, or when its channel closes. With the argument `exit` or `end` it counts once and ends at once.
 */
import { writeSync } from 'node:fs';
import { createMetrics, Sheet } from '../../../src/observe/index.ts';

const metrics = createMetrics({ version: 'test', sheet: new Sheet({ counts: 4, series: 5 }) });
const how = process.argv[2];

function turn(count: number): void {
  if (count % 64 === 0) {
    try {
      writeSync(6, `${count}\n`);
    } catch {
      // The reader is behind: one less that is told.
    }
  }
  metrics.connections.inc();
  metrics.requestDuration.observe((count % 50) / 1000);
  // New series, and so growth, all the time at first.
  metrics.certificateRefusals.inc({ certificate: `certificate-${count % 4 === 0 ? count % 6000 : 0}` });
  setImmediate(turn, count + 1);
}

if (how === undefined) {
  process.on('disconnect', () => process.exit());
  turn(0);
} else {
  metrics.connections.inc(7);
  if (how === 'exit') process.exit();
  process.disconnect?.();
}
