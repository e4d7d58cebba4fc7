import { messageOf, SwivelError } from '../errors.ts';

/** Workers in a row that may fail at start before it is given up. */
const startsTried = 3;

/** The first time that workers serve: they wait for sockets, and who opens waits for as many as should serve, or for none that can. */
export class Opening {
  readonly #size: number;
  readonly #sockets = Promise.withResolvers<readonly unknown[]>();
  readonly #open = Promise.withResolvers<void>();

  /** @param size how many workers are to serve */
  constructor(size: number) {
    this.#size = size;
    this.#open.promise.catch(() => {});
  }

  /** What workers accept on, in the order of the listeners, once they may. */
  get sockets(): Promise<readonly unknown[]> {
    return this.#sockets.promise;
  }

  /**
   * Lets workers accept, and waits until they do.
   * @param sockets bound, in the order of the listeners
   * @throws SwivelError what kept workers from starting
   */
  async begin(sockets: readonly unknown[]): Promise<void> {
    this.#sockets.resolve(sockets);
    await this.#open.promise;
  }

  /** A worker began to serve. @param serving how many do now */
  served(serving: number): void {
    if (serving >= this.#size) this.#open.resolve();
  }

  /**
   * A worker did not get as far as to serve, or ended.
   * @param serving how many serve all the same
   * @param failures how many failed in a row
   */
  failed(failure: unknown, serving: number, failures: number): void {
    if (serving > 0) this.#open.resolve();
    // Those that died first say nothing of the others that were started with them.
    else if (failures >= Math.max(startsTried, this.#size)) {
      const known = failure instanceof SwivelError ? failure : null;
      const why = `no worker gets as far as to serve: ${messageOf(failure)}`;
      const remedy = 'correct what it wrote before this line';
      this.#open.reject(known ?? new SwivelError('WORKERS_FAILED', why, { remedy }));
    }
  }

  /** It is stopped before all serve. */
  end(): void {
    this.#open.reject(new SwivelError('SHUTTING_DOWN'));
  }
}
