import { caddy } from './caddy.ts';
import { haproxy } from './haproxy.ts';
import { nginx } from './nginx.ts';
import { httpProxy3, pipe } from './scripts.ts';
import { swivel } from './swivel.ts';
import type { Peer } from './types.ts';

/** Everything that can be measured, in the order in which each round goes through it. */
export const everyPeer: readonly Peer[] = [nginx, haproxy, caddy, httpProxy3, pipe, swivel];
