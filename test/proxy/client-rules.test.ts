import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { before, describe, test } from 'node:test';
import { type ClientCertificate, ClientTrust, Connection } from '../../src/connections/index.ts';
import { type ClientRule, ClientRules, openToAll } from '../../src/proxy/index.ts';
import { bundleOf, issueClient } from '../certificates/trust/support/bundle.ts';
import { createAuthority } from '../support/pki.ts';

const off: ClientRule = { mode: 'off' };
const optional: ClientRule = { mode: 'optional', trust: 'staff' };
const required: ClientRule = { mode: 'required', trust: 'staff' };
const rulesOf = (fallback: ClientRule, hosts: Record<string, ClientRule> = {}) =>
  new ClientRules({ fallback, hosts: new Map(Object.entries(hosts)) });

let good: ClientCertificate;
let bad: ClientCertificate;
let trust: ClientTrust;
before(async () => {
  const [staff, partners] = [await createAuthority(), await createAuthority()];
  const certificate = async (authority: typeof staff) => {
    const { x509 } = await issueClient(authority);
    return { chain: [x509], resumed: false, fault: null };
  };
  [good, bad] = [await certificate(staff), await certificate(partners)];
  const bundles = new Map([
    ['staff', bundleOf(staff.certificatePem)],
    ['partners', bundleOf(partners.certificatePem)],
  ]);
  trust = new ClientTrust((name) => bundles.get(name));
});

/** @param serverName of its handshake */
function connection(client: ClientCertificate | null, serverName: string | null = null): Connection {
  return Object.assign(new Connection(1, new Socket(), 0), { client, serverName });
}

describe('the rule for a host', () => {
  const rules = rulesOf(off, {
    'Admin.Test': required,
    '*.admin.test': optional,
    'open.admin.test.': off,
    'one.b.test': optional,
  });

  test('exact, then one wildcard label, then the default; case and a trailing dot make no difference', () => {
    const expected: [string, ClientRule][] = [
      ['admin.test', required],
      ['a.admin.test', optional],
      ['open.admin.test', off],
      ['a.b.admin.test', off],
      ['one.b.test', optional],
      ['test', off],
      ['', off],
      ['.admin.test', off],
    ];
    for (const [host, rule] of expected) assert.equal(rules.ruleFor(host), rule, host);
  });

  test('a listener asks for certificates when any of its rules does, and knows by which bundles', () => {
    assert.deepEqual([rules.asks, rules.bundles], [true, ['staff']]);
    assert.deepEqual([openToAll.asks, openToAll.bundles], [false, []]);
    assert.deepEqual([rulesOf(off, { 'a.test': off }).asks, rulesOf(off, { 'a.test': off }).bundles], [false, []]);
    const both = rulesOf(optional, { 'a.test': { mode: 'required', trust: 'partners' } });
    assert.deepEqual(both.bundles, ['staff', 'partners']);
  });
});

describe('who is let in', () => {
  const host = 'a.test';
  const refusal = (status: number, code: string) => ({ kind: 'refuse', status, code, close: false });

  test('off: everybody, and their certificate counts for nothing', () => {
    for (const client of [null, good, bad]) {
      const open = connection(client);
      assert.deepEqual(rulesOf(off).admit(open, host, trust), { kind: 'admit', certificate: null });
      assert.equal(open.reliedOn.size, 0);
    }
  });

  for (const rule of [optional, required]) {
    test(`${rule.mode}: who shows a certificate that is trusted, and the connection relies on the bundle`, () => {
      const open = connection(good);
      assert.deepEqual(rulesOf(rule).admit(open, host, trust), { kind: 'admit', certificate: good });
      assert.deepEqual(open.reliedOn, new Set(['staff']));
    });

    test(`${rule.mode}: nobody whose certificate is not trusted, whatever another host thinks of it`, () => {
      const open = connection(bad, host);
      const rules = rulesOf(rule, { 'b.test': { mode: 'required', trust: 'partners' } });
      assert.equal(rules.admit(open, 'b.test', trust).kind, 'admit');
      const refused = rules.admit(open, host, trust);
      assert.deepEqual(refused, {
        ...refusal(403, 'CLIENT_CERTIFICATE_REJECTED'),
        client: trust.verdictOn(bad, 'staff'),
      });
      assert.deepEqual(open.reliedOn, new Set(['partners']));
      const unknown = rulesOf({ mode: rule.mode, trust: 'never loaded' });
      const neverLoaded = unknown.admit(connection(good), host, trust);
      assert.equal('code' in neverLoaded && neverLoaded.code, 'CLIENT_CERTIFICATE_REJECTED');
    });

    test(`${rule.mode}: who shows another host's certificate on a connection made for that is sent away to make one for this`, () => {
      const misdirected = refusal(421, 'REQUEST_MISDIRECTED');
      assert.deepEqual(rulesOf(rule).admit(connection(bad, 'b.test'), host, trust), misdirected);
      assert.equal(rulesOf(rule).admit(connection(good, 'b.test'), host, trust).kind, 'admit');
    });
  }

  test('optional: who shows none', () => {
    for (const serverName of [null, host, 'b.test']) {
      const answer = rulesOf(optional).admit(connection(null, serverName), host, trust);
      assert.deepEqual(answer, { kind: 'admit', certificate: null });
    }
  });

  test('required: nobody without, and who made the connection for another host is sent away to make one for this', () => {
    const missing = refusal(403, 'CLIENT_CERTIFICATE_REQUIRED');
    const misdirected = refusal(421, 'REQUEST_MISDIRECTED');
    assert.deepEqual(rulesOf(required).admit(connection(null, null), host, trust), missing);
    assert.deepEqual(rulesOf(required).admit(connection(null, host), host, trust), missing);
    assert.deepEqual(rulesOf(required).admit(connection(null, 'b.test'), host, trust), misdirected);
  });
});
