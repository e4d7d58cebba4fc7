import { readlink } from 'node:fs/promises';
import { isAbsolute, join, parse, resolve, sep } from 'node:path';
import { systemCode } from '../../errors.ts';
import { isAbsence } from '../read.ts';
import type { Answering } from './answering.ts';

/** A link that was followed, and what it says. */
export interface Hop {
  readonly link: string;
  readonly target: string;
}

/**
 * Where a path leads. `nothing`: to what does not exist. `circle`: back to where it came from. `unknown`: that cannot be told,
 * because a directory may not be searched or a file system does not answer.
 */
export interface Followed {
  readonly end: 'found' | 'nothing' | 'circle' | 'unknown';
  /** Without links: what was found, or would be if it were there. */
  readonly real: string;
  /** How far it went: the first part that does not exist or cannot be told. */
  readonly reached: string;
  readonly hops: readonly Hop[];
  /** The last link whose own target is not there; null when all the links on the way are good. */
  readonly broken: Hop | null;
}

/** As the kernel's limit (ELOOP). */
const hopLimit = 40;

/** Follows links one by one, as realpath(3) does, and touches nothing on a file system that does not answer. */
export class Follower {
  readonly #answering: Answering;
  /** Directories on the way that are no links. */
  readonly #plain = new Set<string>();

  constructor(answering: Answering) {
    this.#answering = answering;
  }

  async follow(path: string): Promise<Followed> {
    const hops: Hop[] = [];
    /** How many parts of the path follow after each link. */
    const following: number[] = [];
    let at = parse(resolve(path)).root;
    let rest = partsOf(resolve(path));
    while (rest.length > 0) {
      const [name = '', ...others] = rest;
      const next = join(at, name);
      const step = this.#plain.has(next) ? null : await this.#step(next);
      if (step === 'unknown' || step === 'nothing') {
        // A link is broken when what is missing is a part of its own target.
        const broken = hops.findLast((_, i) => rest.length > (following[i] ?? 0)) ?? null;
        return { end: step, real: join(at, ...rest), reached: next, hops, broken };
      }
      rest = others;
      if (step === null) {
        if (rest.length > 0) this.#plain.add(next);
        at = next;
        continue;
      }
      const hop = { link: next, target: step.target };
      hops.push(hop);
      following.push(others.length);
      if (hops.length > hopLimit) return { end: 'circle', real: next, reached: next, hops, broken: hop };
      // `..` stays as it is: what it leads to is known only once the links before it are followed.
      rest = [...partsOf(step.target), ...rest];
      if (isAbsolute(step.target)) at = parse(step.target).root;
    }
    return { end: 'found', real: at, reached: at, hops, broken: null };
  }

  /** What stands at a path whose directory is without links: the target of a link, or null when it is none. */
  async #step(path: string): Promise<{ readonly target: string } | null | 'nothing' | 'unknown'> {
    if (!(await this.#answering.at(path))) return 'unknown';
    try {
      return { target: await readlink(path) };
    } catch (error) {
      if (isAbsence(error)) return 'nothing';
      return systemCode(error) === 'EINVAL' ? null : 'unknown';
    }
  }
}

function partsOf(path: string): string[] {
  return path
    .slice(parse(path).root.length)
    .split(sep)
    .filter((part) => part !== '' && part !== '.');
}
