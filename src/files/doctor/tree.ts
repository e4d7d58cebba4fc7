import { lstat, readdir } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import type { Answering } from './answering.ts';
import type { LinkFact, Place, TreeFacts } from './facts.ts';
import { type Followed, Follower } from './follow.ts';
import { KeyExposure } from './key-exposure.ts';

/** As the sources': certificates, keys, keystores, passphrases and CRLs. */
const wantedExtensions = new Set(['.crt', '.pem', '.cer', '.key', '.p12', '.pfx', '.pass', '.password', '.crl']);

/** As that of a snapshot. */
const depthLimit = 8;

/** Looks at what is at and below paths, and writes down what the judges want to know. Never throws. */
export class Tree implements TreeFacts {
  readonly links: LinkFact[] = [];
  readonly exposedKeys: TreeFacts['exposedKeys'];
  readonly directories = new Set<string>();
  readonly #answering: Answering;
  readonly #follower: Follower;
  readonly #exposure: KeyExposure;
  readonly #visited = new Set<string>();
  #entriesLeft: number;

  /** @param entryLimit how many entries of directories are looked at, in all */
  constructor(answering: Answering, entryLimit: number) {
    this.#answering = answering;
    this.#follower = new Follower(answering);
    this.#exposure = new KeyExposure(answering);
    this.exposedKeys = this.#exposure.found;
    this.#entriesLeft = entryLimit;
  }

  /** Ends the walk at its next step. */
  stop(): void {
    this.#entriesLeft = 0;
  }

  /** Where a configured path leads. */
  async enter(path: string): Promise<Place> {
    const absolute = resolve(path);
    return { path: absolute, ...(await this.#follower.follow(absolute)) };
  }

  /** Looks at a place and what is below it. */
  async look(place: Place): Promise<void> {
    const { path, end, real, hops, broken } = place;
    // Where a configured link leads is the choice of whoever named it; that it leads nowhere is not.
    if (broken && isBroken(place)) this.links.push({ ...place, ...broken, place });
    if (end !== 'found') return;
    if (hops.length > 0) this.#watchThrough(place);
    const stats = await lstat(real).catch(() => null);
    if (stats?.isDirectory()) await this.#directory(path, real, place, 0);
    else if (stats?.isFile()) {
      this.directories.add(dirname(real));
      await this.#exposure.look(path, real);
    }
  }

  async #directory(shown: string, real: string, place: Place, depth: number): Promise<void> {
    if (this.#visited.has(real) || depth > depthLimit || !(await this.#answering.at(real))) return;
    this.#visited.add(real);
    this.directories.add(real);
    const entries = await readdir(real, { withFileTypes: true }).catch(() => []);
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (this.#entriesLeft <= 0) return;
      this.#entriesLeft -= 1;
      const { name } = entry;
      if (name.startsWith('.') && name !== '..data') continue;
      if (entry.isSymbolicLink()) await this.#link(join(shown, name), join(real, name), place, depth);
      else if (entry.isDirectory()) await this.#directory(join(shown, name), join(real, name), place, depth + 1);
      else if (entry.isFile() && isWanted(name)) await this.#exposure.look(join(shown, name), join(real, name));
    }
  }

  async #link(shown: string, link: string, place: Place, depth: number): Promise<void> {
    let followed = await this.#follower.follow(link);
    // Whoever renews may be between two steps; then it leads somewhere a moment later.
    if (isBroken(followed)) followed = await new Follower(this.#answering).follow(link);
    const { end, real, hops } = followed;
    const fact = { ...followed, link: shown, target: hops[0]?.target ?? '', place };
    const wanted = isWanted(shown);
    const isData = basename(shown) === '..data';
    if (end !== 'found') {
      if (wanted || (isData && isBroken(followed))) this.links.push(fact);
      return;
    }
    if (isData) return;
    const stats = await lstat(real).catch(() => null);
    if (stats?.isDirectory() && !wanted) {
      this.links.push(fact);
      this.#watchThrough(followed);
      await this.#directory(shown, real, place, depth + 1);
    } else if (stats?.isFile() && wanted) {
      this.links.push(fact);
      if (!real.includes('/..')) this.#watchThrough(followed);
      await this.#exposure.look(shown, real);
    }
  }

  /** A change of any link on the way changes what is at its end. */
  #watchThrough({ hops, real }: { readonly hops: readonly { readonly link: string }[]; readonly real: string }): void {
    for (const { link } of hops) this.directories.add(dirname(link));
    this.directories.add(dirname(real));
  }
}

function isWanted(name: string): boolean {
  return wantedExtensions.has(extname(name).toLowerCase());
}

function isBroken({ end }: Pick<Followed, 'end'>): boolean {
  return end === 'nothing' || end === 'circle';
}
