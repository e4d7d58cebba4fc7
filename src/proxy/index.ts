/**
 * The proxy: a request from a TLS connection to an upstream and back.
 *
 *   PlainLine, Http1, Http2 ─ RequestHead ─▶ decide ─ Forward ─▶ Exchange ─▶ Responder
 *   UpgradeHandler: connections that leave HTTP
 */
export { type Authority, parseAuthority } from './authority.ts';
export { type ClientHeaderNames, clientHeaders } from './client-headers.ts';
export { type ClientRule, ClientRules, type ClientRulesOptions, openToAll } from './client-rules.ts';
export { type DecisionContext, decide, type Forward } from './decide.ts';
export { FrontDoor, type FrontDoorOptions, type Peers } from './front-door.ts';
export { connectionOptions, type ForwardingOptions, responseHeaders, sentFields } from './headers.ts';
export type { Http1Options } from './http1.ts';
export type { Http2Options } from './http2.ts';
export type { Admitted, ClientFacts, Refusal, RequestHead } from './request.ts';
export { type RouteOptions, Router } from './router.ts';
