import { type Finding, finding } from '../../errors.ts';
import type { Identity } from './accounts.ts';

export interface PrivilegeFacts {
  /** User id of the process that starts everything; undefined where there are none. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Whom workers turn into; null when they stay what they are. */
  readonly dropsTo: Identity | null;
  /** As configured, to be told when it has no effect. */
  readonly user?: string | number | undefined;
}

/** The condition `Unprivileged`: whether connections are served by processes that are not root's. */
export interface PrivilegeCondition {
  readonly status: boolean;
  readonly reason: 'Dropped' | 'NotRoot' | 'ServingAsRoot';
  readonly message: string;
}

/** What to say of the user that connections are served as: log the findings once, and set the condition `Unprivileged`. */
export function privilegeFindings({ uid, gid, dropsTo, user }: PrivilegeFacts): {
  readonly findings: readonly Finding[];
  readonly condition: PrivilegeCondition;
} {
  if (uid !== 0) {
    const ignored =
      user === undefined ? '' : `; process.user (${user}) has no effect, as only root can change the user`;
    const message = uid === undefined ? 'this system has no root' : `connections are served as ${uid}:${gid}${ignored}`;
    return { findings: [], condition: { status: true, reason: 'NotRoot', message } };
  }
  if (dropsTo !== null) {
    const message = `workers run as ${dropsTo.user} (${dropsTo.uid}:${dropsTo.gid})`;
    return { findings: [], condition: { status: true, reason: 'Dropped', message } };
  }
  const message = 'connections are served as root: a fault in it would give away the whole machine';
  const warning = finding('SERVING_AS_ROOT', 'warning', { message });
  return { findings: [warning], condition: { status: false, reason: 'ServingAsRoot', message } };
}
