import type { ValidatedIdentity } from '../../../src/certificates/index.ts';
import { finding, SwivelError } from '../../../src/errors.ts';
import { Conditions, createLogger, createMetrics } from '../../../src/observe/index.ts';
import { Activation } from '../../../src/rotation/activation.ts';
import {
  type Candidate,
  type Decision,
  type GenerationPublisher,
  Journal,
  type PublishedGeneration,
  type PublishedIdentity,
  plainActivation,
  type Trigger,
} from '../../../src/rotation/index.ts';
import { broken, good, now } from './synthetic.ts';

type Parts = Parameters<GenerationPublisher['prepare']>[0];

const silent = createLogger({ level: 'silent', format: 'json' }, { write: () => {} });
const metrics = createMetrics({ version: 'test' });

/** Publishes nowhere. What it is told to refuse it refuses; what it is told to distort no listener shows. */
class PretendedPublisher implements GenerationPublisher {
  readonly refused = new Set<string>();
  readonly distorted = new Set<string>();
  current: PublishedGeneration = {
    number: 0,
    served: new Map(),
    canaries: new Map(),
    bundles: new Map(),
    findings: [],
  };

  async prepare(target: Parts) {
    const number = this.current.number + 1;
    const taken = (identities: readonly ValidatedIdentity[], before: ReadonlyMap<string, PublishedIdentity>) =>
      new Map(
        identities.map((identity) => {
          const known = before.get(identity.id) ?? this.current.canaries.get(identity.id);
          const same = known?.identity.fingerprint === identity.fingerprint;
          return [identity.id, { identity, since: same ? known.since : number, activatedAt: new Date(now) }];
        }),
      );
    const next = {
      number,
      served: taken(target.identities, this.current.served),
      canaries: taken(target.canaries, this.current.canaries),
      bundles: new Map(),
      findings: [],
    };
    const fresh = [...next.served.values(), ...next.canaries.values()].filter(({ since }) => since === number);
    const failures = fresh
      .filter(({ identity }) => this.refused.has(identity.fingerprint))
      .map(({ identity }) => finding('HANDSHAKE_FAILED', 'error', { identity: identity.id }));
    return {
      failures,
      commit: async () => {
        if (failures.length > 0) throw new Error('something was committed that the TLS layer refuses');
        this.current = next;
        return new Map<string, number>();
      },
      abort: () => {},
    };
  }

  async confirm(ids: readonly string[]): Promise<readonly string[]> {
    return ids.filter((id) => this.distorted.has(this.current.served.get(id)?.identity.fingerprint ?? ''));
  }

  async cut(): Promise<number> {
    return 0;
  }
}

/** All that rotation decides by, without files, sockets and certificates. */
export class World {
  readonly publisher = new PretendedPublisher();
  readonly disk = new Map<string, Candidate>();
  clock = now;
  readonly #activation: Activation;

  constructor(canary: number, jitter: number) {
    this.#activation = new Activation(this.publisher, new Journal(metrics, new Conditions([]), silent), {
      ...plainActivation,
      canary: { share: canary > 0 ? 0.5 : 0, duration: canary },
      jitter: { min: jitter, max: jitter },
    });
  }

  write(id: string, identity: ValidatedIdentity | 'broken' | null): void {
    if (identity === null) this.disk.delete(id);
    else this.disk.set(id, identity === 'broken' ? broken(id) : good(identity));
  }

  async run(trigger: Trigger, wishes: { accept?: string; compromised?: string } = {}): Promise<Decision> {
    const setOf = (id: string | undefined) => new Set(id === undefined ? [] : [id]);
    const { accept, compromised } = wishes;
    const since = performance.now();
    const known = { candidates: new Map(this.disk), bundles: [], ticketKeys: null, trigger, since };
    const occasion = { ...known, accept: setOf(accept), compromised: setOf(compromised) };
    const decision = await this.#activation.run(occasion, this.clock);
    return (await this.#activation.confirm(occasion, decision, this.clock)) ?? decision;
  }

  /** @returns what goes back; nothing when it is not possible */
  rollback(id: string | undefined): string[] {
    try {
      return this.#activation.rollback(id, this.disk, this.clock);
    } catch (error) {
      if (error instanceof SwivelError) return [];
      throw error;
    }
  }

  /** Clients refuse the canary of an id, or take it. */
  handshakes(id: string, refused: boolean): void {
    const fingerprint = this.publisher.current.canaries.get(id)?.identity.fingerprint ?? '';
    this.#activation.observe(id, fingerprint, refused, 3);
  }

  served(id: string): ValidatedIdentity | undefined {
    return this.publisher.current.served.get(id)?.identity;
  }

  get identities(): ValidatedIdentity[] {
    return [...this.publisher.current.served.values()].map(({ identity }) => identity);
  }
}
