/** How long targets are waited for. */
export interface UpstreamOptions {
  /** Milliseconds to wait for a connection. */
  readonly connectTimeout: number;
  /** Milliseconds to wait for the head of a response. */
  readonly responseTimeout: number;
  /** Milliseconds without a byte of a response body, after which it is given up. */
  readonly idleTimeout: number;
  /** Milliseconds for which a target that refused a connection is passed over. */
  readonly failTimeout: number;
}
