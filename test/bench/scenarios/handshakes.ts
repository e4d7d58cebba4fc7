import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Site, Stage } from '../suite/stage.ts';
import type { Target } from '../suite/types.ts';
import { bodies } from '../support/bodies.ts';
import { checkAnswer } from '../support/check-answer.ts';
import { checkResumption } from '../support/check-resumption.ts';
import { FULL_HANDSHAKES } from '../support/generate.ts';
import { h2load } from '../support/h2load.ts';
import { onlyFull, onlyResumed } from '../support/handshake-counts.ts';
import { type LoadFigures, wrk } from '../support/wrk.ts';
import { everyone, loadScenario } from './load.ts';

const [small] = bodies;

/**
 * Connections that one run of h2load opens at once, each for one request: it has no session to resume yet, and the proxy is
 * kept busy. The listen queue of every peer holds as many.
 */
const BATCH = 128;
/** Connections at a time where each waits for the one before. */
const CLIENTS = 8;

const targets: readonly Target[] = [
  { figure: 'cpu', against: { peer: 'nginx' }, atMost: 1.4 },
  { figure: 'cpu', against: { peer: 'caddy' }, atMost: 0.95 },
];

export const handshakeEcdsa = loadScenario({
  name: 'handshake-ecdsa',
  title: `Full handshake (TLS 1.3, ECDSA P-256) and one request`,
  unit: 'connection',
  targets,
  prepare: ({ target }) => checkAnswer(target, small),
  load: (site, seconds) => onlyFull(site, () => freshHandshakes(site, seconds)),
});

export const handshakeRsa = loadScenario({
  name: 'handshake-rsa',
  title: `Full handshake (TLS 1.3, RSA 2048) and one request`,
  unit: 'connection',
  site: ({ leaves }) => ({ upstream: 'static', leaf: leaves.rsa }),
  prepare: ({ target }) => checkAnswer(target, small),
  load: (site, seconds) => onlyFull(site, () => freshHandshakes(site, seconds)),
});

export const handshakeTls12 = loadScenario({
  name: 'handshake-tls12',
  title: `Full handshake (TLS 1.2, ECDSA P-256) and one request, ${CLIENTS} clients as fast as they can`,
  unit: 'connection',
  // HAProxy resumes these by the session's id, of which it keeps some itself.
  peers: everyone.filter((name) => name !== 'haproxy'),
  targets,
  prepare: ({ target }) => checkAnswer(target, small),
  load: async (site, seconds, { directory }: Stage) => {
    const configuration = join(directory, 'full-handshakes.cnf');
    await writeFile(configuration, FULL_HANDSHAKES);
    return onlyFull(site, () =>
      wrk({
        url: site.url(small.path),
        connections: CLIENTS,
        seconds,
        headers: ['Connection: close'],
        env: { ...process.env, OPENSSL_CONF: configuration },
        directory: site.setting.directory,
        bodyBytes: small.bytes,
      }),
    );
  },
});

export const handshakeResumed = loadScenario({
  name: 'handshake-resumed',
  title: `Resumed handshake (TLS 1.3 ticket) and one request, ${CLIENTS} clients as fast as they can`,
  unit: 'connection',
  prepare: async ({ target }) => {
    await checkAnswer(target, small);
    await checkResumption(target, small.path);
  },
  // h2load keeps the session of a connection that the proxy closed for the next one: only the first ones are full.
  load: (site, seconds) =>
    onlyResumed(site, async () => {
      const probe = await closing(site, CALIBRATION);
      const load = await closing(site, Math.max(CALIBRATION, Math.round((probe.units / probe.seconds) * seconds)));
      const [units, bytes] = [probe.units + load.units, probe.bytes + load.bytes];
      return { units, bytes, seconds: probe.seconds + load.seconds };
    }),
});

/** Connections that tell how many there can be in a second; h2load never ends when it is given a time here. */
const CALIBRATION = 200;

async function freshHandshakes(site: Site, seconds: number): Promise<Omit<LoadFigures, 'latency'>> {
  const loads: LoadFigures[] = [];
  const began = performance.now();
  const elapsed = () => (performance.now() - began) / 1000;
  while (elapsed() < seconds) loads.push(await onSmallBody(site, [`-c${BATCH}`, `-n${BATCH}`]));
  const sum = (figure: (load: LoadFigures) => number) => loads.reduce((total, load) => total + figure(load), 0);
  return {
    units: sum(({ units }) => units),
    seconds: elapsed(),
    bytes: sum(({ bytes }) => bytes),
  };
}

function closing(site: Site, count: number): Promise<LoadFigures> {
  return onSmallBody(site, [`-c${CLIENTS}`, `-n${count}`]);
}

function onSmallBody({ target, setting }: Site, flags: readonly string[]): Promise<LoadFigures> {
  const more = ['--h1', '-H', 'Connection: close'];
  const { directory } = setting;
  return h2load({
    ...target,
    path: small.path,
    flags: [...more, ...flags],
    directory,
    bodyBytes: small.bytes,
    limitMs: 60_000,
  });
}
