import { type Finding, finding } from '../../errors.ts';
import { splitNodeOptions, withoutLooking } from './node-flags.ts';

/** How to start a process that is not to be looked into. */
export interface Uninspected {
  /** As given, with NODE_OPTIONS empty where nothing is left of it: a variable that is absent would be inherited by cluster.fork. */
  readonly env: NodeJS.ProcessEnv;
  /** For the new process; it also has `--disable-sigusr1`, which keeps a signal from opening the inspector. */
  readonly execArgv: readonly string[];
  /** Says which flags were taken out; null when none were. */
  readonly refused: Finding | null;
}

/**
 * Takes out of environment and flags what would let others look into a process that holds private keys: the inspector, heap snapshots
 * and profiles, reports, aborts (core dumps) and TLS key logs. The values of flags are not repeated in the finding.
 */
export function withoutInspection(env: NodeJS.ProcessEnv, execArgv: readonly string[]): Uninspected {
  const flags = withoutLooking(execArgv.map((flag) => ({ written: flag, read: flag })));
  // What Node.js refuses keeps the new process from starting, as it would have kept this one.
  const options = withoutLooking(splitNodeOptions(env['NODE_OPTIONS'] ?? '') ?? []);
  const removed = [...new Set([...options.removed, ...flags.removed])];
  return {
    env: options.removed.length === 0 ? { ...env } : { ...env, NODE_OPTIONS: options.kept.join(' ') },
    execArgv: [...flags.kept.filter((flag) => flag !== refuseSignal), refuseSignal],
    refused:
      removed.length === 0
        ? null
        : finding('INSPECTION_REFUSED', 'warning', {
            message: `flags that let others look into processes with private keys are not passed on: ${removed.join(', ')}`,
          }),
  };
}

const refuseSignal = '--disable-sigusr1';

/**
 * Closes the inspector of this process, and sees to it that SIGUSR1 does not open it again.
 * @returns what was closed, as a warning; null when it was not open
 */
export function refuseInspector(): Finding | null {
  // Node.js opens the inspector on this signal unless somebody listens to it.
  if (!process.listeners('SIGUSR1').includes(ignore)) process.on('SIGUSR1', ignore);
  const open = findInspector();
  if (open === null) return null;
  process.getBuiltinModule('node:inspector').close();
  const still = findInspector() === null ? 'it was closed' : 'it could not be closed';
  return finding('INSPECTOR_OPEN', 'warning', { message: `${open.message}; ${still}` });
}

/** Whether the inspector of this process is open, as a warning. It stays open. */
export function findInspector(): Finding | null {
  if (!process.features.inspector) return null;
  const url = process.getBuiltinModule('node:inspector').url();
  if (url === undefined) return null;
  // The path is what lets one in, so it is left out.
  const message = `the inspector of this process listens on ${new URL(url).host}: whoever connects can read private keys`;
  return finding('INSPECTOR_OPEN', 'warning', { message });
}

function ignore(): void {}
