import { dirname } from 'node:path';
import { type Finding, finding } from '../../errors.ts';
import type { ExposedKey } from './facts.ts';

/** KEY_EXPOSED: private keys that every user can read, one finding for each directory. Pure. */
export function judgeKeys(keys: readonly ExposedKey[]): Finding[] {
  const unique = new Map(keys.map((key) => [key.file, key]));
  const groups = Map.groupBy(unique.values(), ({ file }) => dirname(file));
  return [...groups].flatMap(([directory, [first, ...others]]) => {
    if (!first) return [];
    const mode = `mode ${first.mode.toString(8).padStart(4, '0')}`;
    const why = first.projected ? `; its volume is mounted without defaultMode: 0400` : '';
    if (others.length === 0) {
      const message = `the private key ${first.file} can be read by every user (${mode})${why}`;
      return [finding('KEY_EXPOSED', 'warning', { file: first.file, message })];
    }
    const message = `${others.length + 1} private keys in ${directory} can be read by every user, ${first.file} (${mode}) among them${why}`;
    return [finding('KEY_EXPOSED', 'warning', { file: directory, message })];
  });
}
