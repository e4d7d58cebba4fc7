import type { IdentityMaterial } from '../../../src/certificates/index.ts';
import type { Report, Trigger, Verdict, Wishes } from '../../../src/rotation/index.ts';
import type { Leaf } from '../../support/pki.ts';
import { materialOf } from '../../tls/support/identities.ts';
import { FakeSource, type RotationSetup, rotation } from './rotation.ts';

type Files = Pick<Leaf, 'chainPem' | 'keyPem'>;

/** Files of which no certificate can be made. */
export const damaged: Files = { chainPem: 'damaged', keyPem: 'damaged' };

/** Identities on a pretended disk, served since a start. Runs are begun by the test. */
export async function scene(
  t: Parameters<typeof rotation>[0],
  first: Readonly<Record<string, Files>>,
  setup: RotationSetup = {},
) {
  const disk = new Map<string, Files>(Object.entries(first));
  const materials = (): IdentityMaterial[] => [...disk].map(([id, files]) => materialOf(id, files, 's'));
  const source = new FakeSource('s', ...materials());
  const rotating = rotation(t, [source], setup);
  const { reconciler, store, journal, log, metrics } = rotating;

  /** Writes files, or deletes them, without a run. */
  const write = (changes: Readonly<Record<string, Files | null>>): void => {
    for (const [id, files] of Object.entries(changes)) {
      if (files) disk.set(id, files);
      else disk.delete(id);
    }
    source.identities = materials();
  };
  const run = (trigger: Trigger = 'event', wishes: Wishes = {}): Promise<Report> => reconciler.runOnce(trigger, wishes);
  /** Writes files and reconciles. */
  const put = (
    changes: Readonly<Record<string, Files | null>>,
    trigger?: Trigger,
    wishes?: Wishes,
  ): Promise<Report> => {
    write(changes);
    return run(trigger, wishes);
  };
  /** What was decided last: result, state, and the code of the reason. */
  const told = (id = 'a'): [Verdict['result'] | undefined, Verdict['state'] | undefined, string | null] => {
    const verdict = journal.verdicts.find((one) => one.id === id);
    return [verdict?.result, verdict?.state, verdict?.error?.code ?? null];
  };
  /** The leaf that is served under an id. */
  const served = (id = 'a'): string | undefined => store.current.served.get(id)?.identity.leaf.fingerprint256;
  const status = (id = 'a') =>
    journal.status(store.current, (one) => reconciler.trialOf(one)).find((one) => one.id === id);
  /** How often an event about an id is in the log. */
  const logged = (event: string, id = 'a'): number => log.of(event, id).length;
  const codes = (event: string, id = 'a') => log.of(event, id).map(({ code }) => code);
  await reconciler.runOnce('start');
  return { ...rotating, source, metrics, write, run, put, told, served, status, logged, codes };
}
