/**
 * A process of its own (see `speed.ts`) that does the same small work over and over, 20 times a second, and notes how much processor
 * time it takes. Messages: anything in, `number[]` out: milliseconds since the last question. It ends when its channel closes.
 */
import { hash } from 'node:crypto';

const pauseMs = 50;
/** Some 0.5 ms. In native code, which takes as long each time, however long the process runs. */
const input = Buffer.alloc(256 * 1024, 'swivel');

let taken: number[] = [];

function work(): void {
  hash('sha512', input);
}

function probe(): void {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  taken.push((user + system) / 1000);
}

for (let i = 0; i < 100; i += 1) work();
setInterval(probe, pauseMs);
process.on('message', () => {
  process.send?.(taken);
  taken = [];
});
process.on('disconnect', () => process.exit());
