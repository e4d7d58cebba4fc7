const KIB = 1024;

/** What the upstreams of the benchmark answer, by path. */
export const bodies = [
  { path: '/1k', bytes: KIB },
  { path: '/100k', bytes: 100 * KIB },
  { path: '/10m', bytes: 10 * KIB * KIB },
] as const;

/** Body of an upload. */
export const UPLOAD_BYTES = 10 * KIB * KIB;

/** What a complete upload is answered with. */
export const UPLOAD_ANSWER = 'received\n';
