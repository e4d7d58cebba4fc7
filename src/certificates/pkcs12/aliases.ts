const lengthLimit = 64;

/**
 * Names for the keys of a keystore, all different, fit to be part of an id: letters, digits, `.`, `_` and `-`, at most 64
 * characters and a number. A key without a usable name is called by its place, counted from 1.
 */
export function aliasesOf(friendlyNames: readonly (string | null)[]): string[] {
  const used = new Set<string>();
  return friendlyNames.map((name, i) => {
    const wanted = clean(name ?? '') || String(i + 1);
    let unique = wanted;
    for (let n = 2; used.has(unique); n += 1) unique = `${wanted}-${n}`;
    used.add(unique);
    return unique;
  });
}

function clean(name: string): string {
  const characters = [...name.normalize('NFC').replace(/[^\p{L}\p{N}._-]+/gu, '-')];
  return characters
    .slice(0, lengthLimit)
    .join('')
    .replace(/^[-.]+|[-.]+$/g, '');
}
