import { isReadingStuck } from '../files/index.ts';

/**
 * Ends the process, whatever a library still holds open. Node waits for its threads, and one that waits for a file system that does not
 * answer never ends: such a process becomes another one, which is ended in its place.
 * @param code the exit code
 */
export function exit(code: number): never {
  if (isReadingStuck()) {
    // Nobody else tells those who have something to write out.
    process.emit('exit', code);
    process.removeAllListeners('warning');
    process.execve?.(process.execPath, [process.execPath, '--eval', `process.exit(${code})`], {});
  }
  process.exit(code);
}
