import type { Observation } from './methods.ts';

/** Milliseconds for which observations are gathered before they are told. */
const gathered = 20;

/** Gathers what a worker sees of handshakes, so that thousands of them are a few messages. */
export class Observations {
  readonly #tell: (observations: Observation[]) => void;
  readonly #counts = new Map<string, { id: string; fingerprint: string; handshakes: number; refused: number }>();
  #timer: NodeJS.Timeout | null = null;

  constructor(tell: (observations: Observation[]) => void) {
    this.#tell = tell;
  }

  note(id: string, fingerprint: string, refused: boolean): void {
    const key = `${fingerprint} ${id}`;
    const count = this.#counts.get(key) ?? { id, fingerprint, handshakes: 0, refused: 0 };
    if (refused) count.refused += 1;
    else count.handshakes += 1;
    this.#counts.set(key, count);
    this.#timer ??= setTimeout(() => this.#flush(), gathered);
  }

  #flush(): void {
    this.#timer = null;
    this.#tell([...this.#counts.values()]);
    this.#counts.clear();
  }
}
