/** How the connections to one port reach several processes. */
export const ways = ['shared handle', 'sent handle', 'round-robin', 'reusePort'] as const;
export type Way = (typeof ways)[number];

/** What each way is, for the reader of the figures. */
export const descriptions: Record<Way, string> = {
  'shared handle': 'cluster.SCHED_NONE: one listening socket, asked for by the workers, who accept',
  'sent handle': 'one listening socket, made by the primary and sent to the workers, who accept',
  'round-robin': 'cluster.SCHED_RR: the primary accepts, and sends each connection to a worker',
  reusePort: 'a listening socket and an accept queue for each worker (SO_REUSEPORT); the kernel chooses',
};

/** First message to the primary and, from it, to a worker. */
export interface FanOutSetup {
  way: Way;
  port: number;
  workers: number;
  /** PEM. */
  key: string;
  cert: string;
}

/**
 * Later messages to the primary. Each is answered by `{answer}`: `count` by the `Counts` of all workers, the others by
 * the process ids, the primary's first, once the new worker listens (and, for `replace`, the old one has ended).
 */
export type FanOutOrder = 'count' | 'kill' | 'replace';

/** What a worker has served since it began. */
export interface Counts {
  connections: number;
  /** Connections among them whose session was resumed; 0, or the figures are not those of full handshakes. */
  resumed: number;
  requests: number;
}
