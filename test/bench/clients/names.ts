/**
 * Full handshakes, each for another name (see `NamesLoad`); the certificate must be one for that name. Messages: in
 * `NamesLoad`, out `NamesReport`, again and again. It ends with its channel.
 */
import { once } from 'node:events';
import { connect, createSecureContext } from 'node:tls';
import { reply } from './reply.ts';
import type { NamesLoad, NamesReport } from './types.ts';

process.on('disconnect', () => process.exit());
process.on('message', (load: NamesLoad) => void run(load));

async function run({ target, names, clients, seconds }: NamesLoad): Promise<void> {
  const { host = '127.0.0.1', port, ca } = target;
  const secureContext = createSecureContext({ ca });
  const began = performance.now();
  const until = seconds === undefined ? Number.POSITIVE_INFINITY : began + seconds * 1000;
  const most = seconds === undefined ? names.length : Number.POSITIVE_INFINITY;
  const report: NamesReport = { units: 0, seconds: 0, failure: undefined };
  let begun = 0;
  const client = async () => {
    while (begun < most && performance.now() < until && report.failure === undefined) {
      const servername = names[begun++ % names.length] ?? '';
      const socket = connect({ host, port, servername, secureContext });
      try {
        await once(socket, 'secureConnect', { signal: AbortSignal.timeout(30_000) });
        report.units++;
      } catch (error) {
        report.failure = `${servername}: ${error}`;
      }
      socket.on('error', () => {});
      socket.destroy();
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  report.seconds = (performance.now() - began) / 1000;
  reply(report);
}
