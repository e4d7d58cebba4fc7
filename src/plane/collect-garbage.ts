import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Certificates from which on reading them leaves so much behind that it is worth the time. */
const many = 1000;

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/**
 * Gives back what reading thousands of certificates, or receiving them, left behind: the memory that V8 set aside for short-lived objects
 * above all (128 MB after 10,000 certificates), which it would keep for good. Nothing less than a last resort makes it smaller. That takes
 * some 200 ms for 10,000 certificates in which nothing else runs, so it is for the time before anybody is served.
 * @param certificates how many there are
 */
export function collectGarbage(certificates: number): void {
  if (certificates < many) return;
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  setFlagsFromString('--no-expose-gc');
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
