import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bundleOf } from '../certificates/trust/support/bundle.ts';
import { bounded } from '../support/swivel.ts';
import { authority, freshIdentity, storeOf, targetOf } from './support/identities.ts';
import { handshake, listening } from './support/listening.ts';

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  for (const servername of ['a.test', undefined]) {
    const who = `${maxVersion} ${servername ? 'with' : 'without'} SNI`;
    test(
      `a listener that asks gets the client's whole chain, each time it is asked for: ${who}`,
      bounded,
      async (t) => {
        const root = await authority();
        const client = await (await root.intermediate()).issue({ eku: ['clientAuth'] });
        // Node asks first where the TLS layer trusts the client: so it must.
        const store = await storeOf([]);
        const target = targetOf([await freshIdentity('a')], { bundles: [bundleOf(root.certificatePem)] });
        (await store.prepare(target, Date.now())).commit();
        const server = await listening(t, store, { requestsClientCertificates: true });
        const shown = { cert: client.chainPem, key: client.keyPem, maxVersion };
        await handshake(t, { port: server.port, ...shown, ...(servername ? { servername } : {}) });
        const { secure } = await server.nextSecured();
        assert.equal(secure.authorized, true);
        for (let i = 0; i < 2; i += 1) {
          const leaf = secure.getPeerX509Certificate();
          assert.equal(leaf?.fingerprint256, client.x509.fingerprint256);
          assert.equal(leaf?.issuerCertificate?.subject, leaf?.issuer);
        }
      },
    );
  }
}
