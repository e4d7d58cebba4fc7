import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('speed-probe.ts', import.meta.url));

/**
 * Tells how fast a processor is meanwhile. On a virtual machine it may be half a real one, of which a stranger has the other half: then
 * everything takes up to twice the processor time, and no counter of the system says so.
 */
export class SpeedProbe {
  readonly #child: ChildProcess;
  #fastest = Number.POSITIVE_INFINITY;

  /** @param processor the one to watch; any when left out */
  constructor(processor: number | undefined) {
    const pinned = processor === undefined ? [] : ['taskset', '-c', String(processor)];
    const [command = '', ...args] = [...pinned, process.execPath, program];
    this.#child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }

  /** How many times as long as at its fastest the same work took on average since the last call; 1 when nothing is known. */
  async slowdown(): Promise<number> {
    const answer = once(this.#child, 'message');
    this.#child.send('?');
    const [taken] = (await answer) as [number[]];
    if (taken.length === 0) return 1;
    this.#fastest = Math.min(this.#fastest, ...taken);
    return taken.reduce((sum, one) => sum + one, 0) / taken.length / this.#fastest;
  }

  stop(): void {
    if (this.#child.connected) this.#child.disconnect();
  }
}
