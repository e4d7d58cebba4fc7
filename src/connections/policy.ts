/** How connections are drained. Milliseconds throughout. */
export interface DrainOptions {
  /** From the start of a drain to the moment at which what is left is cut. */
  readonly timeout: number;
  /** The span over which the connections of one drain are asked to leave. */
  readonly spread: number;
  /** As `timeout`, for upgraded connections (WebSocket). */
  readonly upgraded: number;
}

/** When one connection is asked to leave, when an idle one is closed, and when the rest is cut. Milliseconds of a monotonic clock. */
export interface DrainPlan {
  readonly askAt: number;
  readonly closeIdleAt: number;
  readonly cutAt: number;
  readonly cutUpgradedAt: number;
}

/** An idle connection is closed only when it has been idle for this long, so that a request on its way is not met by a close. */
export const idleQuiet = 1000;

/**
 * The plan for a connection whose certificate was retired. Busy clients learn it with their next response, within the spread;
 * idle ones get nearly the whole time to send a request and learn it the same way, because closing an idle connection may
 * cross with a request.
 * @param now monotonic milliseconds
 * @param random between 0 and 1
 */
export function planRetirement(now: number, options: DrainOptions, random: number): DrainPlan {
  const spread = Math.min(options.spread, options.timeout / 2);
  return {
    askAt: now + random * spread,
    closeIdleAt: now + options.timeout - spread + random * spread - Math.min(idleQuiet, options.timeout / 4),
    cutAt: now + options.timeout,
    cutUpgradedAt: now + options.upgraded,
  };
}

/** The plan for a connection when the process stops: asked at once, idle ones closed as soon as they stayed idle. */
export function planStop(now: number, options: DrainOptions, random: number): DrainPlan {
  const cutAt = now + options.timeout;
  const closeIdleAt = now + Math.min(idleQuiet * (0.5 + random), options.timeout / 2);
  return { askAt: now, closeIdleAt, cutAt, cutUpgradedAt: cutAt };
}

/** The plan for a connection that is to end for two reasons: a later one never grants it more time. */
export function earliest(a: DrainPlan, b: DrainPlan): DrainPlan {
  return {
    askAt: Math.min(a.askAt, b.askAt),
    closeIdleAt: Math.min(a.closeIdleAt, b.closeIdleAt),
    cutAt: Math.min(a.cutAt, b.cutAt),
    cutUpgradedAt: Math.min(a.cutUpgradedAt, b.cutUpgradedAt),
  };
}

/** Milliseconds over which connections are cut that may not live on. */
const cutSpread = 500;

/** The plan for a connection that may not live on, whatever is in flight on it. */
export function planCut(now: number, random: number): DrainPlan {
  const cutAt = now + random * cutSpread;
  return { askAt: cutAt, closeIdleAt: cutAt, cutAt, cutUpgradedAt: cutAt };
}

/** What a drain needs to know of a connection. */
export interface DrainFacts {
  readonly protocol: Protocol;
  /** Since when nothing is in flight, monotonic milliseconds; null while something is. */
  readonly idleSince: number | null;
  readonly asked: boolean;
}

export type Protocol = 'handshake' | 'http/1.1' | 'h2' | 'upgraded';

/** `ask`: let it end with its next response (HTTP/1.1) or send GOAWAY (HTTP/2). `close`: end it politely. `cut`: destroy it. */
export type DrainStep = 'wait' | 'ask' | 'close' | 'cut';

/** What to do with a draining connection now. Pure. */
export function drainStep(plan: DrainPlan, facts: DrainFacts, now: number): DrainStep {
  if (facts.protocol === 'upgraded') return now >= plan.cutUpgradedAt ? 'cut' : 'wait';
  if (now >= plan.cutAt) return facts.idleSince === null || facts.protocol === 'handshake' ? 'cut' : 'close';
  if (facts.protocol === 'handshake') return 'wait';
  if (!facts.asked) return now >= plan.askAt ? 'ask' : 'wait';
  const quiet = facts.idleSince !== null && now - facts.idleSince >= Math.min(idleQuiet, (plan.cutAt - plan.askAt) / 4);
  return quiet && now >= plan.closeIdleAt ? 'close' : 'wait';
}
