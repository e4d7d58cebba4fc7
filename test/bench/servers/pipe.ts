/**
 * The floor of what Node.js can do: bytes piped between each TLS socket and a TCP socket of its own. It knows nothing of
 * HTTP.
 *
 *     node test/bench/servers/pipe.ts PORT UPSTREAM_PORT CERTIFICATE_FILE
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createServer } from 'node:tls';

const [port, upstreamPort, certificateFile = ''] = process.argv.slice(2);
const pem = readFileSync(certificateFile);
const server = createServer({ key: pem, cert: pem, noDelay: true }, (client) => {
  const upstream = connect({ port: Number(upstreamPort), host: '127.0.0.1', noDelay: true });
  client.on('error', () => upstream.destroy());
  upstream.on('error', () => client.destroy());
  client.on('close', () => upstream.destroy());
  upstream.on('close', () => client.destroySoon());
  client.pipe(upstream);
  upstream.pipe(client);
});
server.on('tlsClientError', () => {});
server.listen(Number(port), '127.0.0.1');
