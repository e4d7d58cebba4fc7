import type { UpstreamOptions } from './options.ts';
import { Sweep } from './sweep.ts';
import { Wire, type WireOwner, type WireUser } from './wire.ts';
import { WireError } from './wire-error.ts';

/** The connections to one target: those in use, and the idle ones, of which the one used last is used next. */
export class Wires implements WireOwner {
  readonly #url: URL;
  readonly #options: UpstreamOptions;
  readonly #all: Sweep<Wire>;
  readonly #idle: Wire[] = [];
  #closed = false;

  constructor(url: URL, options: UpstreamOptions) {
    this.#url = url;
    this.#options = options;
    this.#all = new Sweep(Math.min(options.responseTimeout, options.idleTimeout, 10_000));
  }

  /**
   * Gives a user a connection: at once, or when it is made.
   * @param fresh one that carried nothing yet
   */
  take(user: WireUser, fresh: boolean): void {
    if (this.#closed) {
      user.onUnreachable(new WireError('stopping'));
      return;
    }
    for (let wire = fresh ? undefined : this.#idle.pop(); wire; wire = this.#idle.pop()) {
      if (!wire.usable) continue;
      wire.use(user);
      return;
    }
    this.#all.add(new Wire(this.#url, user, this, this.#options));
  }

  free(wire: Wire): void {
    this.#idle.push(wire);
  }

  gone(wire: Wire): void {
    this.#all.delete(wire);
    const at = this.#idle.indexOf(wire);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  /** Closes all of them; requests under way fail. */
  close(): void {
    this.#closed = true;
    for (const wire of this.#all.members()) wire.close(new WireError('stopping'));
  }
}
