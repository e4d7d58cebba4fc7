import { setTimeout as pause } from 'node:timers/promises';
import { percentilesOf } from '../../test/support/load/percentiles.ts';
import { patience } from './until.ts';
import type { Chain, Visitor } from './visit.ts';

/** Milliseconds between two visits, while the writer is at work and from then on. */
const pace = { before: 30, after: 15 };

/** A change that was made. */
export interface Change {
  /** What has to be served now. */
  readonly chain: Chain;
  /** When the last file was in its place, by `performance.now()`; when the writer had ended, when left out. */
  readonly at?: number;
}

/** One name whose certificate is changed again and again, and what its visitors saw. */
export class RotationCell {
  readonly host: string;
  readonly #visitor: Visitor;
  readonly #times: number[] = [];
  #served: Chain;
  #rotations = 0;
  #kept = 0;
  /** Visits that failed, and those that were shown what was neither old nor new. */
  readonly faults: string[] = [];
  /** Rotations that were not served in time. */
  missed = 0;

  constructor(host: string, visitor: Visitor, served: Chain) {
    this.host = host;
    this.#visitor = visitor;
    this.#served = served;
  }

  /** Whether there is a point in going on: each rotation that is missed takes its time. */
  get hopeful(): boolean {
    return this.missed < 2;
  }

  /** How many rotations the log has to tell. */
  get rotations(): number {
    return this.#rotations;
  }

  /**
   * Makes a change while the name is visited again and again, until the new chain is shown.
   * @param write makes the change
   */
  async rotate(write: () => Promise<Change>): Promise<void> {
    this.#rotations += 1;
    const old = this.#served;
    let change: Required<Change> | undefined;
    const writing = write().then((made) => {
      change = { at: performance.now(), ...made };
    });
    /** Another chain than the old one, and when it was shown first. */
    let other: Required<Change> | undefined;
    while (!change || other?.chain !== change.chain) {
      if (change && performance.now() - change.at > patience) break;
      const shown = await this.visit();
      if (shown !== undefined && shown !== other?.chain) {
        if (other) this.#fault(shown === old ? 'shown the old chain after the new one' : 'shown a third chain');
        if (shown !== old) other = { chain: shown, at: performance.now() };
      }
      await (change ? pause(pace.after) : Promise.race([pause(pace.before), writing]));
    }
    await writing;
    if (change && other?.chain === change.chain) this.#times.push(Math.max(0, other.at - change.at));
    else this.missed += 1;
    this.#served = other?.chain ?? old;
  }

  /** Makes a change that has to leave the served chain as it is. @param settled resolves when the change was looked at */
  async keep(write: () => Promise<void>, settled: () => Promise<unknown>): Promise<void> {
    this.#kept += 1;
    await Promise.all([write(), this.mustShowServed()]);
    await settled();
    await this.mustShowServed();
  }

  /** A visit in a moment in which nothing but the chain of before may be shown. */
  async mustShowServed(): Promise<void> {
    const shown = await this.visit();
    if (shown !== undefined && shown !== this.#served) this.#fault('shown another chain than the one in service');
  }

  /** What the name is shown; undefined when the visit failed, which is noted. */
  async visit(): Promise<Chain | undefined> {
    try {
      return await this.#visitor.visit(this.host);
    } catch (error) {
      this.#fault(`failed: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }

  /** `20/20, 12 ms`: how many rotations were served, and the median of how long it took after the writer was done. */
  toString(): string {
    if (this.#kept > 0) return `${this.#kept} times kept`;
    return `${this.#times.length}/${this.#rotations}, ${Math.round(percentilesOf(this.#times).median)} ms`;
  }

  #fault(what: string): void {
    this.faults.push(`${this.host}, change ${this.#rotations + this.#kept}: ${what}`);
  }
}
