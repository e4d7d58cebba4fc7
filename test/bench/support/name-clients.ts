import { ScriptProcess } from '../../support/child.ts';
import type { NamesLoad, NamesReport } from '../clients/types.ts';
import type { Site } from '../suite/stage.ts';

const CLIENTS = 16;
const LIMIT_MS = 300_000;

/** Clients, in a process of their own, that make handshakes for many names with one proxy. */
export class NameClients {
  readonly #site: Site;
  readonly #process = new ScriptProcess(new URL('../clients/names.ts', import.meta.url));

  constructor(site: Site) {
    this.#site = site;
  }

  /** Makes full handshakes, one for each name or for some seconds; what each costs the proxy, in µs of processor time. */
  async visit(what: { names: readonly string[]; seconds?: number }): Promise<number> {
    const load: NamesLoad = { ...what, target: this.#site.target, clients: CLIENTS };
    const { result, usage } = await this.#site.using(async () => {
      this.#process.send(load);
      return this.#process.next<NamesReport>(LIMIT_MS);
    });
    if (result.failure !== undefined) throw new Error(result.failure);
    return (usage.cpuSeconds * 1e6) / result.units;
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}
