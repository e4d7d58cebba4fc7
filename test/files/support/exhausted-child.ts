/**
 * Watches a directory in a process whose inotify limits are exhausted, and tells the parent what is heard, line by line.
 * Arguments: directory, watch mode, whether a sub-directory comes once the watch is armed.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FileWatchService, type WatchMode } from '../../../src/files/index.ts';
import { createLogger } from '../../../src/observe/index.ts';
import { Recorder } from './recorder.ts';

const [directory = '', mode = 'auto', growing] = process.argv.slice(2);
const told: string[] = [];
const recorder = new Recorder();
const logger = createLogger({ level: 'silent', format: 'json' });
// Where polling is to take over, nothing but polling looks again.
const resync = mode === 'auto' ? 3_600_000 : 20;
const service = new FileWatchService({ mode: mode as WatchMode, resync, pollInterval: 10 }, logger, (reason) =>
  told.push(reason),
);
// Nothing else keeps this process: the watch and its timers do not.
const keep = setInterval(() => {}, 1_000);
const subscription = service.subscribe(recorder.listener, [{ directory, recursive: true }]);
if (growing) {
  await recorder.until('rescan', 'armed');
  mkdirSync(join(directory, 'sub'));
  writeFileSync(join(directory, 'sub', 'a.crt'), '');
}
await recorder.until('rescan', 'lost');
const look = mode === 'auto' ? 'poll' : 'resync';
await recorder.until('rescan', look, 3);
subscription.update([
  { directory, recursive: true },
  { directory: `${directory}-other`, recursive: true },
]);
await recorder.until('rescan', look, recorder.count('rescan', look) + 3);
await service.close();
clearInterval(keep);
const rescans = [...new Set(recorder.heard.filter(({ kind }) => kind === 'rescan').map(({ about }) => about))];
console.log(JSON.stringify({ polling: service.polling, told, rescans }));
