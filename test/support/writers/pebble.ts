import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { createAuthority } from '../pki.ts';
import type { Scope } from './types.ts';

/** A real ACME server (RFC 8555), for names that all resolve to this machine. */
export interface Pebble {
  /** The URL that ACME clients are given. */
  readonly url: string;
  /** PEM file of the authority that vouches for the server itself. */
  readonly caFile: string;
  /** Where it looks for the answer to an HTTP-01 challenge. */
  readonly challengePort: number;
  /** PEM of the root of the certificates that it issues. */
  readonly root: string;
}

/** Milliseconds that a server may take to start. */
const patience = 10_000;

/** Starts pebble, and the name server that it asks, until the test is over. @param directory for its files; it exists */
export async function startPebble(t: Scope, directory: string): Promise<Pebble> {
  const [acme = 0, management = 0, challenges = 0, dns = 0, ofDns = 0] = await freePorts(5);
  const own = await createAuthority();
  const leaf = await own.issue({ names: ['127.0.0.1'] });
  const caFile = join(directory, 'pebble-ca.pem');
  const config = {
    listenAddress: `127.0.0.1:${acme}`,
    managementListenAddress: `127.0.0.1:${management}`,
    certificate: join(directory, 'pebble.crt'),
    privateKey: join(directory, 'pebble.key'),
    httpPort: challenges,
    tlsPort: 0,
    ocspResponderURL: '',
    externalAccountBindingRequired: false,
  };
  await writeFile(caFile, own.certificatePem);
  await writeFile(config.certificate, leaf.chainPem);
  await writeFile(config.privateKey, leaf.keyPem);
  await writeFile(join(directory, 'pebble.json'), JSON.stringify({ pebble: config }));

  // Only the name server of the two: certbot answers challenges itself.
  const off = [
    '-http01',
    '',
    '-https01',
    '',
    '-tlsalpn01',
    '',
    '-management',
    `127.0.0.1:${ofDns}`,
    '-defaultIPv6',
    '',
  ];
  await daemon(t, 'pebble-challtestsrv', ['-dns01', `127.0.0.1:${dns}`, ...off], /Starting/);
  const arguments_ = ['-config', join(directory, 'pebble.json'), '-dnsserver', `127.0.0.1:${dns}`];
  // Neither deliberate delays nor deliberate refusals, and a name that was proved once stays proved.
  const env = { PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0', PEBBLE_AUTHZREUSE: '100' };
  await daemon(t, 'pebble', arguments_, /ACME directory available/, env);
  const root = await fetchText(`https://127.0.0.1:${management}/roots/0`, own.certificatePem);
  return { url: `https://127.0.0.1:${acme}/dir`, caFile, challengePort: challenges, root };
}

/** A program that runs until the test is over. Resolves when it has printed a line that tells that it is ready. */
async function daemon(
  t: Scope,
  program: string,
  args: readonly string[],
  ready: RegExp,
  env: NodeJS.ProcessEnv = {},
): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  t.after(() => child.kill());
  const printed: string[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      printed.push(line);
      if (ready.test(line)) resolve();
    });
  }
  const give = (what: string) => () => reject(new Error(`${program} ${what}:\n${printed.join('\n')}`));
  const tooLong = setTimeout(give('is not ready'), patience);
  child.once('error', reject);
  child.once('close', give('ended'));
  await promise.finally(() => clearTimeout(tooLong));
}

/** Ports of loopback that were free a moment ago, for programs that cannot choose one. */
async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  while (servers.length < count) {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    servers.push(server);
  }
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) await once(server.close(), 'close');
  return ports;
}

async function fetchText(url: string, ca: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  get(url, { ca, agent: false }, (response) => text(response).then(resolve, reject)).once('error', reject);
  return promise;
}
