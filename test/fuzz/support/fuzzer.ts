import type { Coverage, Feature } from './coverage.ts';
import { mutate } from './mutate.ts';
import { Random } from './random.ts';
import type { FuzzTarget } from './targets.ts';

/** An input for which a property does not hold. */
export class FuzzFailure extends Error {
  readonly input: Buffer;

  constructor(target: FuzzTarget, input: Buffer, seed: number, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`${target.name}, seed ${seed}: ${JSON.stringify(input.toString('latin1'))}\n${reason}`, { cause });
    this.input = input;
  }
}

/** When to stop. */
export interface Bounds {
  /** Inputs to try. */
  readonly inputs: number;
  /** Milliseconds. */
  readonly time: number;
}

/** Inputs that are tried before it is asked what they covered. */
const batch = 32;

function blockOf(feature: Feature): string {
  return feature.slice(0, feature.lastIndexOf(' '));
}

/** Looks for inputs that take new ways through the code, keeps those, and goes on from them. */
export class Fuzzer {
  readonly #target: FuzzTarget;
  readonly #coverage: Coverage;
  readonly #seed: number;
  readonly #random: Random;
  /** The smallest input that was found for each feature. */
  readonly #best = new Map<Feature, Buffer>();
  readonly #blocks = new Set<string>();
  readonly #outcomes = new Set<string>();
  readonly #corpus: Buffer[] = [];
  /** Inputs that were tried. */
  tried = 0;

  constructor(target: FuzzTarget, coverage: Coverage, seed: number) {
    this.#target = target;
    this.#coverage = coverage;
    this.#seed = seed;
    this.#random = new Random(seed);
  }

  get features(): number {
    return this.#best.size;
  }

  /** Inputs that together have every feature. */
  get corpus(): readonly Buffer[] {
    return [...new Set(this.#best.values())];
  }

  /** @throws FuzzFailure */
  async replay(inputs: readonly Buffer[]): Promise<void> {
    for (const input of inputs) {
      this.tried += 1;
      this.#measure(input);
      this.#check(input);
      await this.#compare(input);
    }
  }

  /** @throws FuzzFailure */
  async fuzz({ inputs, time }: Bounds): Promise<void> {
    const end = performance.now() + time;
    const random = this.#random;
    const make = () => mutate(random.pick(this.#corpus), this.#corpus, random);
    for (let left = inputs; left > 0 && performance.now() < end; left -= batch) {
      await this.#tryAll(Array.from({ length: batch }, make));
    }
  }

  /** To ask what was covered takes longer than most inputs: many are asked for at once, and each by itself where there is something new. */
  async #tryAll(inputs: readonly Buffer[]): Promise<void> {
    this.#coverage.take();
    const odd = inputs.filter((input) => this.#isOdd(input));
    const isNew = this.#coverage.take().some((feature) => !this.#blocks.has(blockOf(feature)));
    const measured = new Set(isNew ? inputs : [...odd, this.#random.pick(inputs)]);
    for (const input of inputs) {
      this.tried += 1;
      if (measured.has(input)) this.#measure(input);
      this.#check(input);
      await this.#compare(input);
    }
  }

  /** Whether its outcome is one that was not seen yet. */
  #isOdd(input: Buffer): boolean {
    const outcome = this.#run(input);
    if (this.#outcomes.has(outcome)) return false;
    this.#outcomes.add(outcome);
    return true;
  }

  /** Keeps the input if it did something new. */
  #measure(input: Buffer): void {
    this.#coverage.take();
    const outcome = this.#run(input);
    let isNew = false;
    for (const feature of [...this.#coverage.take(), `outcome ${outcome} 1`]) {
      const best = this.#best.get(feature);
      if (best && best.length <= input.length) continue;
      isNew ||= !best;
      this.#best.set(feature, input);
      this.#blocks.add(blockOf(feature));
    }
    if (isNew || this.#corpus.length === 0) this.#corpus.push(input);
  }

  #run(input: Buffer): string {
    try {
      return this.#target.run(input);
    } catch (error) {
      this.#fail(input, error, (bytes) => this.#target.run(bytes));
    }
  }

  #check(input: Buffer): void {
    try {
      this.#target.check(input);
    } catch (error) {
      this.#fail(input, error, (bytes) => this.#target.check(bytes));
    }
  }

  async #compare(input: Buffer): Promise<void> {
    try {
      await this.#target.compare(input);
    } catch (error) {
      throw new FuzzFailure(this.#target, input, this.#seed, error);
    }
  }

  /** Tells of the smallest part of the input that fails too. */
  #fail(input: Buffer, error: unknown, attempt: (bytes: Buffer) => unknown): never {
    let smallest = input;
    let reason = error;
    for (let size = input.length >> 1; size > 0; size >>= 1) {
      for (let at = 0; at < smallest.length; ) {
        const shorter = Buffer.concat([smallest.subarray(0, at), smallest.subarray(at + size)]);
        try {
          attempt(shorter);
          at += size;
        } catch (cause) {
          smallest = shorter;
          reason = cause;
        }
      }
    }
    throw new FuzzFailure(this.#target, smallest, this.#seed, reason);
  }
}
