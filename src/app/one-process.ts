import type { Serving, WorkerStatus } from '../cluster/index.ts';
import { SwivelError } from '../errors.ts';
import type { DataPlane } from '../plane/index.ts';
import { type ListenAddress, showsOutside } from '../tls/index.ts';

/** Serves in this process. */
export class OneProcess implements Serving {
  readonly #plane: DataPlane;
  readonly #version: string;
  readonly #startedAt = new Date().toISOString();

  constructor(plane: DataPlane, version: string) {
    this.#plane = plane;
    this.#version = version;
  }

  get publisher() {
    return this.#plane.publisher;
  }

  async open(): Promise<readonly ListenAddress[]> {
    const addresses = await this.#plane.open();
    this.#plane.publisher.confirmBy(async (identity) => {
      const name = this.#plane.store.nameFor(identity);
      if (name === undefined) return null;
      const answers = await Promise.all(addresses.map((address) => showsOutside(address, identity, name)));
      return answers.includes(false) ? false : (answers[0] ?? null);
    });
    return addresses;
  }

  async summary() {
    return this.#plane.summary();
  }

  workers(): WorkerStatus[] {
    const { number: generation } = this.#plane.store.current;
    const version = this.#version;
    return [{ id: 1, pid: process.pid, generation, state: 'serving', version, startedAt: this.#startedAt }];
  }

  async restart(): Promise<never> {
    throw new SwivelError('NO_WORKERS');
  }

  setLogLevel(level: string): void {
    this.#plane.setLogLevel(level);
  }

  hold(): void {}

  stop() {
    return this.#plane.stop();
  }

  abandon(): void {
    this.#plane.abandon();
  }

  close(): Promise<void> {
    return this.#plane.close();
  }
}
