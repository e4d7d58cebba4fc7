import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { ClientChains, clientCertificateOf } from '../../src/connections/index.ts';
import { issueClient } from '../certificates/trust/support/bundle.ts';
import { type Authority, createAuthority, type Leaf } from '../support/pki.ts';

let root: Authority;
let leaf: Leaf;
before(async () => {
  root = await createAuthority();
  leaf = await issueClient(root);
});

interface Peer {
  readonly resumed?: boolean;
  readonly error?: string;
  readonly chain?: readonly object[];
}

/** As much of a TLS socket as is looked at. */
function socket({ resumed = false, error, chain = [leaf.x509] }: Peer): TLSSocket {
  const linked = chain.reduceRight<object | undefined>(
    (issuerCertificate, one) =>
      new Proxy(one, {
        get(of, key) {
          if (key === 'issuerCertificate') return issuerCertificate;
          const value: unknown = Reflect.get(of, key, of);
          return typeof value === 'function' ? value.bind(of) : value;
        },
      }),
    undefined,
  );
  return {
    authorized: error === undefined,
    authorizationError: error ?? null,
    getPeerX509Certificate: () => linked,
    isSessionReused: () => resumed,
  } as unknown as TLSSocket;
}

const chains = new ClientChains();

test('a client that shows nothing has no certificate', () => {
  assert.equal(clientCertificateOf(socket({ chain: [] }), chains), null);
});

test('what the TLS library says about authorities and dates is judged elsewhere; all else is held against it', () => {
  for (const error of ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT', 'CERT_HAS_EXPIRED']) {
    assert.equal(clientCertificateOf(socket({ error }), chains)?.fault, null);
  }
  for (const error of ['EE_KEY_TOO_SMALL', 'CERT_SIGNATURE_FAILURE', 'INVALID_PURPOSE', 'PATH_LENGTH_EXCEEDED']) {
    assert.equal(clientCertificateOf(socket({ error }), chains)?.fault, error);
  }
  assert.equal(clientCertificateOf(socket({}), chains)?.fault, null);
});

test('a chain without end is cut off', () => {
  const chain = Array.from({ length: 100 }, () => root.x509);
  assert.equal(clientCertificateOf(socket({ chain: [leaf.x509, ...chain] }), chains)?.chain.length, 16);
});

test('what a resumed session does not bring is remembered; what a client leaves out is not', async () => {
  const intermediate = await root.intermediate();
  const below = await issueClient(intermediate);
  const remembering = new ClientChains();
  remembering.learn([below.x509, intermediate.x509]);
  const lengthOf = (peer: Peer) =>
    clientCertificateOf(socket({ chain: [below.x509], ...peer }), remembering)?.chain.length;
  assert.equal(lengthOf({ resumed: true }), 2);
  assert.equal(lengthOf({ resumed: false }), 1);
});
