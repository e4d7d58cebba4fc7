import { posix } from 'node:path';
import type { Finding } from '../../errors.ts';
import type { Snapshot } from '../../files/index.ts';
import type { Keystore } from '../pkcs12/index.ts';
import type { IdentityMaterial, MaterialChange } from '../types.ts';
import { Assembly, nothing, type Parts } from './assembly.ts';
import { stemOf } from './file-names.ts';

/** What the files of a directory make up. */
export interface Assembled extends Parts {
  /** How the identities differ from those of the last time. */
  readonly since?: MaterialChange;
}

/** Files that make up identities together: those of one directory with one stem. */
interface Group {
  readonly directory: string;
  /** Base names, in the order in which they were found. */
  readonly names: Set<string>;
  assembled: Parts | null;
}

function sinceOf({ identities }: Parts, changed: MaterialChange['changed']): Pick<Assembled, 'since'> {
  return { since: { identities, changed } };
}

/** Stems of which files go together, and so are one group. */
const together = new Map([
  ...['privkey', 'fullchain', 'cert', 'chain'].map((stem) => [stem, 'privkey'] as const),
  ...['tls', 'keystore', 'truststore'].map((stem) => [stem, 'tls'] as const),
]);

/**
 * Makes identities of the files of a directory by the naming conventions of Kubernetes, certbot, HAProxy and plain
 * `NAME.crt` + `NAME.key`, and finds the keystores (`NAME.p12`, `NAME.pfx`). For one source, time and again: what did not change is not
 * assembled again.
 */
export class Assembler {
  readonly #source: string;
  readonly #groups = new Map<string, Group>();
  #files: Snapshot['files'] | null = null;
  #result: Assembled = nothing;
  #faults: Snapshot['faults'] = new Map();

  constructor(source: string) {
    this.#source = source;
  }

  assemble(snapshot: Pick<Snapshot, 'files' | 'faults' | 'since'>): Assembled {
    const { files, faults, since } = snapshot;
    const isKnown = since !== undefined && since.files === this.#files;
    if (!isKnown) this.#groups.clear();
    const names = isKnown ? [...since.changed, ...this.#faults.keys()] : files.keys();
    const touched = new Map<string, Parts>();
    for (const name of names) this.#place(name, snapshot, touched);
    for (const name of faults.keys()) this.#place(name, snapshot, touched);
    this.#files = files;
    this.#faults = faults;
    const before = this.#result;
    if (isKnown && touched.size === 0) this.#result = { ...before, ...sinceOf(before, new Map()) };
    else this.#result = this.#collect(snapshot);
    if (!isKnown || touched.size === 0) return this.#result;
    const changed = new Map<string, IdentityMaterial | null>();
    for (const { identities } of touched.values()) for (const { id } of identities) changed.set(id, null);
    for (const key of touched.keys()) {
      for (const one of this.#groups.get(key)?.assembled?.identities ?? []) changed.set(one.id, one);
    }
    this.#result = { ...this.#result, ...sinceOf(before, changed) };
    return this.#result;
  }

  #collect(snapshot: Pick<Snapshot, 'files' | 'faults'>): Parts {
    const identities: IdentityMaterial[] = [];
    const keystores: Keystore[] = [];
    const findings: Finding[] = [];
    for (const group of this.#groups.values()) {
      group.assembled ??= new Assembly(this.#source, snapshot, group.directory, group.names).result;
      for (const one of group.assembled.identities) identities.push(one);
      for (const one of group.assembled.keystores) keystores.push(one);
      for (const one of group.assembled.findings) findings.push(one);
    }
    return { identities, keystores, findings };
  }

  /** A file is, or was, part of its group, which is to be assembled anew. @param touched what such groups were before */
  #place(name: string, { files, faults }: Pick<Snapshot, 'files' | 'faults'>, touched: Map<string, Parts>): void {
    const directory = posix.dirname(name);
    const base = posix.basename(name);
    const stem = stemOf(base);
    const key = `${directory}/${together.get(stem) ?? stem}`;
    const group = this.#groups.get(key) ?? { directory, names: new Set(), assembled: null };
    if (!touched.has(key)) touched.set(key, group.assembled ?? nothing);
    group.assembled = null;
    if (files.has(name) || faults.has(name)) group.names.add(base);
    else group.names.delete(base);
    if (group.names.size > 0) this.#groups.set(key, group);
    else this.#groups.delete(key);
  }
}
