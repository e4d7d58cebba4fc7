import { mkdir, mkdtemp, readdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Leaf } from './pki.ts';

let counter = 0;

/** A fresh directory that is removed, with all in it, after the test. */
export async function temporaryDirectory(t: Pick<TestContext, 'after'>, prefix = 'swivel-test-'): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), prefix));
  // Who writes into it may still be about to end.
  t.after(() => rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }));
  return directory;
}

/** Replaces a file by rename: a reader finds the whole old content or the whole new one. */
export async function writeAtomically(path: string, data: string | Buffer, mode = 0o600): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}-${++counter}`);
  await writeFile(temporary, data, { mode });
  await rename(temporary, path);
}

/**
 * Writes `NAME.crt` and `NAME.key`, each by rename, key first. Between the two renames the pair on disk does not
 * match, as with any tool that replaces two files.
 */
export async function writePair(directory: string, name: string, leaf: Leaf): Promise<void> {
  await writeAtomically(join(directory, `${name}.key`), leaf.keyPem);
  await writeAtomically(join(directory, `${name}.crt`), leaf.chainPem);
}

/** The two files of a Kubernetes TLS Secret. */
export function secretOf(leaf: Leaf): Record<string, string> {
  return { 'tls.crt': leaf.chainPem, 'tls.key': leaf.keyPem };
}

/** A volume as kubelet's AtomicWriter keeps it: every file is a link into `..data`, itself a link that is swapped. */
export class KubernetesVolume {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Replaces all files by one swap. The set of user-visible links follows the names in `files`. */
  async update(files: Record<string, string | Buffer>): Promise<void> {
    await mkdir(this.directory, { recursive: true });
    const previous = await this.#currentTarget();
    const next = timestampedName();
    await mkdir(join(this.directory, next));
    for (const [name, data] of Object.entries(files)) await writeFile(join(this.directory, next, name), data);
    await symlink(next, join(this.directory, '..data_tmp'));
    await rename(join(this.directory, '..data_tmp'), join(this.directory, '..data'));
    await this.#linkVisibleNames(Object.keys(files));
    if (previous) await rm(join(this.directory, previous), { recursive: true });
  }

  /** Swaps in the certificate, chain and key of `leaf` as `tls.crt` and `tls.key`. */
  updateLeaf(leaf: Leaf): Promise<void> {
    return this.update(secretOf(leaf));
  }

  async #currentTarget(): Promise<string | undefined> {
    return await readlink(join(this.directory, '..data')).catch(() => undefined);
  }

  async #linkVisibleNames(names: readonly string[]): Promise<void> {
    const present = (await readdir(this.directory)).filter((name) => !name.startsWith('..'));
    for (const name of names) {
      if (!present.includes(name)) await symlink(join('..data', name), join(this.directory, name));
    }
    for (const name of present) {
      if (!names.includes(name)) await rm(join(this.directory, name));
    }
  }
}

const certbotFiles = ['cert', 'privkey', 'chain', 'fullchain'] as const;

/** A lineage as certbot keeps it: `live/NAME/*.pem` are links to numbered files in `archive/NAME`. */
export class CertbotLive {
  readonly root: string;
  readonly name: string;
  #version = 0;

  constructor(root: string, name: string) {
    this.root = root;
    this.name = name;
  }

  /** `live/NAME`: what a server is told to read. */
  get directory(): string {
    return join(this.root, 'live', this.name);
  }

  /** Stores `leaf` as the next version and points the links at it one after another, as certbot does. */
  async renew(leaf: Leaf): Promise<void> {
    const archive = join(this.root, 'archive', this.name);
    await mkdir(archive, { recursive: true });
    await mkdir(this.directory, { recursive: true });
    const version = ++this.#version;
    const content: Record<(typeof certbotFiles)[number], string> = {
      cert: leaf.certificatePem,
      chain: leaf.chainPem.slice(leaf.certificatePem.length),
      fullchain: leaf.chainPem,
      privkey: leaf.keyPem,
    };
    for (const kind of certbotFiles) await writeFile(join(archive, `${kind}${version}.pem`), content[kind]);
    for (const kind of certbotFiles) await this.#point(kind, version);
  }

  /** Unlink, then link: that is certbot's way, so for an instant the name does not exist. */
  async #point(kind: string, version: number): Promise<void> {
    const link = join(this.directory, `${kind}.pem`);
    await rm(link, { force: true });
    await symlink(join('..', '..', 'archive', this.name, `${kind}${version}.pem`), link);
  }
}

function timestampedName(): string {
  const stamp = new Date().toISOString().slice(0, 19).replaceAll('-', '_').replace('T', '_').replaceAll(':', '_');
  return `..${stamp}.${String(++counter).padStart(9, '0')}`;
}
