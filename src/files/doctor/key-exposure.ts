import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { dirname, extname } from 'node:path';
import type { Answering } from './answering.ts';
import type { ExposedKey } from './facts.ts';

/** Their contents are keys, whatever they look like. */
const keyExtensions = new Set(['.key', '.p12', '.pfx']);
/** PEM files that may hold a key beside certificates. */
const mixedExtensions = new Set(['.pem', '.crt', '.cer']);
/** How far into a file a key is looked for. */
const readLimit = 64 * 1024;

const begin = Buffer.from('-----BEGIN ');
const keyLabelEnd = 'PRIVATE KEY-----';

/** Finds the private keys that every user of the machine can read. */
export class KeyExposure {
  readonly found: ExposedKey[] = [];
  readonly #answering: Answering;
  /** Whether other users can get to a directory. */
  readonly #open = new Map<string, Promise<boolean>>();

  constructor(answering: Answering) {
    this.#answering = answering;
  }

  /**
   * @param shown the path by which the operator knows the file
   * @param real the same without links
   */
  async look(shown: string, real: string): Promise<void> {
    const extension = extname(shown).toLowerCase();
    const isKey = keyExtensions.has(extension);
    if ((!isKey && !mixedExtensions.has(extension)) || !(await this.#answering.at(real))) return;
    const stats = await stat(real).catch(() => null);
    if (!stats?.isFile() || (stats.mode & constants.S_IROTH) === 0) return;
    if (!(await this.#isOpen(dirname(real)))) return;
    if (!isKey && !(await holdsPrivateKey(real, Math.min(stats.size, readLimit)))) return;
    this.found.push({ file: shown, mode: stats.mode & 0o7777, projected: real.includes('/..') });
  }

  #isOpen(directory: string): Promise<boolean> {
    const known = this.#open.get(directory) ?? this.#lookUp(directory);
    this.#open.set(directory, known);
    return known;
  }

  async #lookUp(directory: string): Promise<boolean> {
    const stats = await stat(directory).catch(() => null);
    if (!stats || (stats.mode & constants.S_IXOTH) === 0) return false;
    const above = dirname(directory);
    return above === directory || this.#isOpen(above);
  }
}

async function holdsPrivateKey(path: string, length: number): Promise<boolean> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => null);
  if (!file) return false;
  const buffer = Buffer.alloc(length);
  try {
    const { bytesRead } = await file.read(buffer, 0, length, 0);
    return hasKeyLabel(buffer.subarray(0, bytesRead));
  } catch {
    return false;
  } finally {
    // The key is not left in memory.
    buffer.fill(0);
    await file.close().catch(() => {});
  }
}

/** Whether a text has a PEM label of a private key, of whatever kind (RFC 7468 §10 and §11, and the older ones). */
export function hasKeyLabel(text: Buffer): boolean {
  for (let at = text.indexOf(begin); at !== -1; at = text.indexOf(begin, at + begin.length)) {
    const start = at + begin.length;
    const end = text.indexOf(keyLabelEnd, start);
    if (end === -1) return false;
    if (!text.subarray(start, end).includes('\n')) return true;
  }
  return false;
}
