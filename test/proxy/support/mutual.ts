import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { connect, type SecureVersion } from 'node:tls';
import { type TrustBundle, validateBundle } from '../../../src/certificates/index.ts';
import { type ClientRule, ClientRules } from '../../../src/proxy/index.ts';
import { LocalPublisher } from '../../../src/rotation/index.ts';
import { connectHttp2, type Http2Client } from '../../support/http2-client.ts';
import type { Leaf } from '../../support/pki.ts';
import { RawClient, type RawResponse } from '../../support/raw-client.ts';
import type { TestFrontDoor } from '../../support/swivel.ts';

type Scope = Pick<TestContext, 'after'>;
type Door = Pick<TestFrontDoor, 'port' | 'ca'>;

/** A usable trust bundle of these files. */
export function bundle(id: string, ...contents: readonly string[]): TrustBundle {
  const files = contents.map((content, i) => ({ path: `/${id}/${i}`, bytes: Buffer.from(content) }));
  const { bundle, findings } = validateBundle({ id, source: `/${id}`, files });
  assert.ok(bundle, findings.map(({ message }) => message).join('; '));
  return bundle;
}

export const required = (trust: string): ClientRule => ({ mode: 'required', trust });
export const optional = (trust: string): ClientRule => ({ mode: 'optional', trust });
export const off: ClientRule = { mode: 'off' };

/** The rules of a listener. */
export function rules(fallback: ClientRule, hosts: Readonly<Record<string, ClientRule>> = {}): ClientRules {
  return new ClientRules({ fallback, hosts: new Map(Object.entries(hosts)) });
}

/** What a client shows, and how it connects. */
export interface Showing {
  readonly leaf?: Leaf | undefined;
  /** What it sends of its chain; all of it when left out. */
  readonly chainPem?: string;
  /** `app.test` when left out; null for none. */
  readonly servername?: string | null;
  readonly version?: SecureVersion;
  readonly session?: Buffer;
  readonly ciphers?: string;
}

function optionsOf(door: Door, { leaf, chainPem, servername = 'app.test', version, session, ciphers }: Showing) {
  return {
    host: '127.0.0.1',
    port: door.port,
    ca: door.ca,
    checkServerIdentity: () => undefined,
    ...(servername === null ? {} : { servername }),
    ...(leaf ? { cert: chainPem ?? leaf.chainPem, key: leaf.keyPem } : {}),
    ...(version ? { minVersion: version, maxVersion: version } : {}),
    ...(session ? { session } : {}),
    ...(ciphers ? { ciphers } : {}),
  };
}

/** A client of HTTP/1.1 with a certificate of its own. */
export class Presenter extends RawClient {
  /** A session to resume. */
  readonly ticket: Promise<Buffer>;

  constructor(...args: ConstructorParameters<typeof RawClient>) {
    super(...args);
    this.ticket = new Promise((resolve) => this.socket.once('session', resolve));
  }

  get(host = 'app.test', fields: readonly string[] = []): Promise<RawResponse> {
    return this.request(`${[`GET / HTTP/1.1`, `Host: ${host}`, ...fields].join('\r\n')}\r\n\r\n`);
  }

  get reused(): boolean {
    return this.socket.isSessionReused();
  }
}

/** Connects to a front door, speaking HTTP/1.1; the connection ends with the test. */
export async function present(t: Scope, door: Door, showing: Showing = {}): Promise<Presenter> {
  const socket = connect({ ...optionsOf(door, showing), ALPNProtocols: ['http/1.1'] });
  t.after(() => socket.destroy());
  const client = new Presenter(socket);
  await once(socket, 'secureConnect');
  return client;
}

/** The same, speaking HTTP/2. */
export function presentHttp2(t: Scope, door: Door, showing: Showing = {}): Promise<Http2Client> {
  const { host: _host, port: _port, ...options } = optionsOf(door, showing);
  return connectHttp2(t, door, { servername: '', ...options });
}

/** The protocols by which a request comes in. */
export const protocols = ['HTTP/1.1', 'HTTP/2', 'WebSocket'] as const;
export type Protocol = (typeof protocols)[number];

/** One request on a connection of its own. @returns its status and what it was refused with */
export async function ask(t: Scope, door: Door, protocol: Protocol, host: string, showing: Showing = {}) {
  const named = { servername: host.replace(/:\d+$/, ''), ...showing };
  if (protocol === 'HTTP/2') {
    const { status, body } = await (await presentHttp2(t, door, named)).request({ ':authority': host });
    return verdictOf(status, body);
  }
  const client = await present(t, door, named);
  const { status, body } = await client.get(
    host,
    protocol === 'WebSocket' ? ['Connection: Upgrade', 'Upgrade: websocket'] : [],
  );
  client.destroy();
  return verdictOf(status, body);
}

/** `200`, or the status and code of a refusal. */
function verdictOf(status: number, body: string): string {
  return status < 400 ? 'in' : `${status} ${body.slice(0, body.indexOf(':'))}`;
}

export const missing = '403 CLIENT_CERTIFICATE_REQUIRED';
export const rejected = '403 CLIENT_CERTIFICATE_REJECTED';
export const misdirected = '421 REQUEST_MISDIRECTED';

/** Exchanges the trust bundles of a front door, as a rotation does. */
export async function exchangeBundles(
  door: Pick<TestFrontDoor, 'store' | 'connections'>,
  bundles: readonly TrustBundle[],
  untrusted: 'drain' | 'cut' = 'drain',
): Promise<void> {
  const identities = [...door.store.current.served.values()].map(({ identity }) => identity);
  const publisher = new LocalPublisher(door.store, door.connections, untrusted);
  const before = door.store.current.bundles;
  const same =
    bundles.length === before.size && bundles.every((one) => before.get(one.id)?.fingerprint === one.fingerprint);
  const ticketKeys = same ? door.store.ticketKeys : randomBytes(48);
  const target = { identities, canaries: [], bundles, ticketKeys };
  await (await publisher.prepare(target, Date.now())).commit();
}
