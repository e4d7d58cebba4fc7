/**
 * http-proxy-3 behind node:https, as its documentation shows it, with connections to the upstream kept alive:
 *
 *     node test/bench/servers/http-proxy-3.ts PORT UPSTREAM_PORT CERTIFICATE_FILE
 */
import { readFileSync } from 'node:fs';
import { Agent, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import httpProxy from 'http-proxy';

const [port, upstreamPort, certificateFile = ''] = process.argv.slice(2);
const pem = readFileSync(certificateFile);
const proxy = httpProxy.createProxyServer({
  target: `http://127.0.0.1:${upstreamPort}`,
  agent: new Agent({ keepAlive: true, maxFreeSockets: 1024 }),
  ws: true,
});
proxy.on('error', (_error, _request, response) => {
  if (response instanceof ServerResponse && !response.headersSent) response.writeHead(502).end();
  else response.destroy();
});
const server = createServer({ key: pem, cert: pem }, (request, response) => proxy.web(request, response));
server.on('upgrade', (request, socket, head) => proxy.ws(request, socket, head));
server.keepAliveTimeout = 75_000;
server.listen(Number(port), '127.0.0.1');
