import { createRequire } from 'node:module';

/** prom-client, loaded when it is first needed: workers count without it, and it takes 13 MB and a tenth of a second. */
export function promClient(): typeof import('prom-client') {
  return createRequire(import.meta.url)('prom-client') as typeof import('prom-client');
}
