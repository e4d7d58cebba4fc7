import { workerData } from 'node:worker_threads';

/**
 * Ends the process of a plug-in, and whatever the plug-in started, within a second of the end of its host. The channel tells of that
 * end too, but not to a plug-in that loops for ever.
 */
const host = workerData as number;
const interval = 1000;

setInterval(() => {
  // The process of a host that ended has another parent: wait(2).
  if (process.ppid !== host) process.kill(-process.pid, 'SIGKILL');
}, interval);
