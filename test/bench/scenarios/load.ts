import type { Peer } from '../peers/types.ts';
import type { Site, SiteOptions, Stage, Usage } from '../suite/stage.ts';
import type { Figure, Sample, Scenario, Target, Trial } from '../suite/types.ts';
import type { LoadFigures } from '../support/wrk.ts';

export const everyone = ['nginx', 'haproxy', 'caddy', 'http-proxy-3', 'pipe', 'swivel'];

/** What came of a load; latencies, where they mean something. */
type Figures = Omit<LoadFigures, 'latency'> & Partial<Pick<LoadFigures, 'latency'>>;

/** A scenario that puts a load on a proxy that runs, warm, through all rounds. */
export interface LoadScenario {
  name: string;
  title: string;
  peers?: readonly string[];
  targets?: readonly Target[];
  site?: (stage: Stage) => SiteOptions;
  /** What one unit of work is; its processor time is what is compared. */
  unit: string;
  /** Units of work in a load; its responses when left out. */
  units?: (load: Figures) => number;
  /** Once for each proxy, before the first load. */
  prepare?: (site: Site) => Promise<void>;
  load: (site: Site, seconds: number, stage: Stage) => Promise<Figures>;
}

/** Compiles the hot code of proxies in Node.js. */
const WARM_UP_SECONDS = 3;

export function loadScenario(description: LoadScenario): Scenario {
  const { name, title, unit, peers = everyone, targets = [], units = (load) => load.units } = description;
  return {
    name,
    title,
    peers,
    targets,
    figures: figuresOf(unit, unit === 'MiB' ? unit : `${unit}s`),
    async begin(stage: Stage, peer: Peer): Promise<Trial> {
      const site = await stage.start(peer, description.site?.(stage) ?? { upstream: 'static' });
      try {
        await description.prepare?.(site);
        await description.load(site, WARM_UP_SECONDS, stage);
      } catch (error) {
        await site.stop();
        throw error;
      }
      return {
        measure: async () => {
          const { result, usage } = await site.using(() => description.load(site, stage.seconds, stage));
          return sampleOf(result, units(result), usage);
        },
        end: () => site.stop(),
      };
    },
  };
}

/** What every load tells of a proxy. */
export function figuresOf(unit: string, units: string): Figure[] {
  return [
    { name: 'cpu', title: `CPU per ${unit}`, unit: 'µs' },
    { name: 'rate', title: units, unit: '/s' },
    { name: 'p50', title: 'latency, median', unit: 'ms' },
    { name: 'p99', title: '99 %', unit: 'ms' },
    { name: 'busy', title: 'of a core', unit: '%' },
    { name: 'pss', title: 'PSS', unit: 'MiB' },
    { name: 'rss', title: 'RSS', unit: 'MiB' },
    { name: 'neighbours', title: 'taken by others', unit: '%' },
    { name: 'slowdown', title: 'slowed by others', unit: '×' },
  ];
}

export function sampleOf(load: Figures, units: number, usage: Usage): Sample {
  return {
    cpu: (usage.cpuSeconds * 1e6) / units,
    rate: units / load.seconds,
    ...load.latency,
    busy: usage.busy * 100,
    pss: usage.pss,
    rss: usage.rss,
    neighbours: usage.neighbours * 100,
  };
}
