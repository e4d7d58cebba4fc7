import { basename, dirname } from 'node:path';
import { type ErrorCode, type Finding, finding } from '../../errors.ts';
import type { LinkFact } from './facts.ts';
import { isWithin, type MountTable } from './mount-table.ts';

/** LINK_DANGLING: links that lead to nothing, one finding for each directory. Pure. */
export function judgeDangling(links: readonly LinkFact[]): Finding[] {
  const dangling = links.filter(isBroken).map(toBlame);
  return summarise('LINK_DANGLING', dangling, ({ link, target, end, reached }) => {
    if (end === 'circle') return `${link} leads to ${target}, and that in a circle`;
    return `${link} leads to ${target}, and ${reached} does not exist here`;
  });
}

/** LINK_LEAVES_MOUNT: links below a directory that lead out of it, into another mount. Pure. */
export function judgeLeaving(links: readonly LinkFact[], table: MountTable): Finding[] {
  const leaving = links.filter((fact) => {
    const { real, place } = fact;
    if (isBroken(fact) || isWithin(real, place.real)) return false;
    const [from, to] = [table.holderOf(place.real), table.holderOf(real)];
    return from !== undefined && to !== undefined && from.id !== to.id;
  });
  return summarise('LINK_LEAVES_MOUNT', leaving, ({ link, real, place }) => {
    return `${link} leads to ${real}, which is on another mount (${table.holderOf(real)?.point}) than ${place.path}`;
  });
}

function isBroken({ end }: LinkFact): boolean {
  return end === 'nothing' || end === 'circle';
}

/** Every name of a Kubernetes volume leads through its `..data`: when that is the broken link, it is the one to name. */
function toBlame(fact: LinkFact): LinkFact {
  return fact.broken && basename(fact.broken.link) === '..data' ? { ...fact, ...fact.broken } : fact;
}

function summarise(code: ErrorCode, links: readonly LinkFact[], describe: (link: LinkFact) => string): Finding[] {
  const unique = new Map(links.map((one) => [one.link, one]));
  const groups = Map.groupBy(unique.values(), ({ link }) => dirname(link));
  return [...groups.values()].flatMap(([first, ...others]) => {
    if (!first) return [];
    const more = others.length === 0 ? '' : ` (and ${others.length} more in ${dirname(first.link)})`;
    return [finding(code, 'warning', { file: first.link, message: `${describe(first)}${more}` })];
  });
}
