import type { Site } from '../suite/stage.ts';
import type { LoadFigures } from './wrk.ts';

type Counted = Pick<LoadFigures, 'units'>;

/** Rejects when Swivel says that of the handshakes of a load any was resumed. Other proxies do not tell. */
export async function onlyFull<T extends Counted>(site: Site, load: () => Promise<T>): Promise<T> {
  const before = await resumedHandshakes(site);
  const result = await load();
  const resumed = (await resumedHandshakes(site)) - before;
  if (resumed > 0) throw new Error(`${resumed} of ${result.units} handshakes were resumed`);
  return result;
}

/** The opposite: nearly all must have been. */
export async function onlyResumed<T extends Counted>(site: Site, load: () => Promise<T>): Promise<T> {
  const before = await resumedHandshakes(site);
  const result = await load();
  const resumed = (await resumedHandshakes(site)) - before;
  if (site.peer.name === 'swivel' && resumed < 0.9 * result.units)
    throw new Error(`only ${resumed} of ${result.units} handshakes were resumed`);
  return result;
}

/** So far, from `/metrics` of Swivel; 0 for other proxies. */
async function resumedHandshakes({ peer, setting }: Site): Promise<number> {
  if (peer.name !== 'swivel') return 0;
  const metrics = await (await fetch(`http://127.0.0.1:${setting.adminPort}/metrics`)).text();
  const lines = metrics.matchAll(/^swivel_tls_handshakes_total\{[^}]*resumed="(?:true|yes)"[^}]*\} (\d+)/gm);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}
