import type { Site } from '../suite/stage.ts';
import type { Scenario } from '../suite/types.ts';
import { bodies, UPLOAD_ANSWER, UPLOAD_BYTES } from '../support/bodies.ts';
import { checkAnswer } from '../support/check-answer.ts';
import { h2load } from '../support/h2load.ts';
import { type LoadFigures, wrk } from '../support/wrk.ts';
import { loadScenario } from './load.ts';

const MIB = 1024 * 1024;
const [small, medium, large] = bodies;
const speakHttp2 = ['nginx', 'haproxy', 'caddy', 'swivel'];

export const keepAlive = loadScenario({
  name: 'keep-alive-1k',
  title: 'Keep-alive, 1 KiB responses, 64 connections',
  unit: 'request',
  targets: [
    { figure: 'cpu', against: { peer: 'nginx' }, atMost: 1.5 },
    { figure: 'cpu', against: { peer: 'caddy' }, atMost: 0.45 },
    { figure: 'cpu', against: { peer: 'http-proxy-3' }, atMost: 0.25 },
  ],
  ...downloads(small, 64),
});

export const accessLog = loadScenario({
  name: 'access-log',
  title: 'The same, with a line in the access log for each request',
  unit: 'request',
  peers: ['nginx', 'caddy', 'swivel'],
  site: () => ({ upstream: 'static', accessLog: true }),
  ...downloads(small, 64),
});

export const body100k = loadScenario({
  name: 'body-100k',
  title: '100 KiB responses, 16 connections',
  unit: 'request',
  ...downloads(medium, 16),
});

export const body10m = loadScenario({
  name: 'body-10m',
  title: '10 MiB responses, 4 connections',
  unit: 'MiB',
  // By bytes: a load ends in the middle of some responses.
  units: mebibytes,
  targets: [{ figure: 'cpu', against: { peer: 'nginx' }, atMost: 1.3 }],
  ...downloads(large, 4),
});

export const upload = uploads('upload', 'Uploads of 10 MiB with Content-Length, 4 connections', [
  `wrk.method = 'POST'`,
  `wrk.body = string.rep('x', ${UPLOAD_BYTES})`,
]);

const CHUNK = 64 * 1024;
export const uploadChunked = uploads('upload-chunked', 'The same, chunked (64 KiB chunks)', [
  `local chunk = '${CHUNK.toString(16)}\\r\\n' .. string.rep('x', ${CHUNK}) .. '\\r\\n'`,
  `local body = string.rep(chunk, ${UPLOAD_BYTES / CHUNK}) .. '0\\r\\n\\r\\n'`,
  `local whole`,
  // Not wrk.body: wrk would add a Content-Length.
  `function init(args)`,
  `  wrk.headers['Transfer-Encoding'] = 'chunked'`,
  `  whole = wrk.format('POST') .. body`,
  `end`,
  `function request() return whole end`,
]);

const HTTP2_CONNECTIONS = 4;
const HTTP2_STREAMS = 32;
export const http2 = loadScenario({
  name: 'h2-32',
  title: `HTTP/2, 1 KiB responses, ${HTTP2_CONNECTIONS} connections with ${HTTP2_STREAMS} streams each`,
  unit: 'request',
  peers: speakHttp2,
  targets: [{ figure: 'cpu', against: { peer: 'nginx' }, atMost: 2.5 }],
  prepare: ({ target }) => checkAnswer(target, small),
  load: ({ target, setting }, seconds) =>
    h2load({
      ...target,
      path: small.path,
      flags: [`-c${HTTP2_CONNECTIONS}`, `-m${HTTP2_STREAMS}`, `-D${seconds}`],
      directory: setting.directory,
      bodyBytes: small.bytes,
      cutOff: HTTP2_CONNECTIONS * HTTP2_STREAMS,
      limitMs: (seconds + 30) * 1000,
    }),
});

function downloads(body: (typeof bodies)[number], connections: number) {
  return {
    prepare: ({ target }) => checkAnswer(target, body),
    load: (site, seconds) =>
      wrk({
        url: site.url(body.path),
        connections,
        seconds,
        directory: site.setting.directory,
        bodyBytes: body.bytes,
      }),
  } satisfies Pick<Parameters<typeof loadScenario>[0], 'prepare' | 'load'>;
}

function uploads(name: string, title: string, script: readonly string[]): Scenario {
  return loadScenario({
    name,
    title,
    unit: 'MiB',
    units: mebibytes,
    site: () => ({ upstream: 'node' }),
    load: async (site, seconds) => {
      const before = await received(site);
      const load = await wrk({
        url: site.url('/upload'),
        connections: 4,
        seconds,
        script: script.join('\n'),
        directory: site.setting.directory,
        bodyBytes: UPLOAD_ANSWER.length,
      });
      // The end cuts off some uploads, so the upstream is asked what it got.
      return { ...load, bytes: (await received(site)) - before };
    },
  });
}

function mebibytes({ bytes }: Pick<LoadFigures, 'bytes'>): number {
  return bytes / MIB;
}

async function received({ setting }: Site): Promise<number> {
  return Number(await (await fetch(`http://127.0.0.1:${setting.upstreamPort}/received`)).text());
}
