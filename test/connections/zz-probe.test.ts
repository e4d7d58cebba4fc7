import { test } from 'node:test';
import { once } from 'node:events';
import { connect } from 'node:tls';
import { createAuthority } from '../support/pki.ts';
import { bundleOf, issueClient } from '../certificates/trust/support/bundle.ts';
import { ClientRules } from '../../src/proxy/index.ts';
import { startFrontDoor } from '../support/swivel.ts';
import { RawClient } from '../support/raw-client.ts';
import { startUpstream } from '../support/upstream.ts';
test('x', async (t) => {
  const good = await createAuthority();
  const evil = await createAuthority();
  const mid = await good.intermediate();
  const up = await startUpstream(t);
  const door = await startFrontDoor(t, { upstream: up.url, bundles: [bundleOf(good.certificatePem)], clients: new ClientRules({ fallback: { mode: 'required', trust: 'clients' }, hosts: new Map() }) });
  for (const [what, leaf] of [['good', await issueClient(good)], ['evil', await issueClient(evil)], ['mid', await issueClient(mid)]] as const)
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    let session: Buffer | undefined;
    for (let i = 0; i < 2; i++) {
      const s = connect({ host: '127.0.0.1', port: door.port, ca: door.ca, servername: 'app.test', cert: leaf.chainPem, key: leaf.keyPem, maxVersion, ALPNProtocols: ['http/1.1'], ...(session ? { session } : {}) });
      s.on('session', (x) => { session = x; });
      await once(s, 'secureConnect');
      const c = new RawClient(s);
      const r = await c.request('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n');
      const k = door.connections.accepted.at(-1)?.client;
      console.log(what, maxVersion, s.isSessionReused(), r.status, k?.chain.length, k?.resumed, k?.fault, (door.connections.accepted.at(-1)?.secure as any)?.authorized, String((door.connections.accepted.at(-1)?.secure as any)?.authorizationError));
      s.destroy();
    }
  }
});
