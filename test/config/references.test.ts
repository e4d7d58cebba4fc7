import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Config, loadConfig } from '../../src/config/index.ts';
import { SwivelError } from '../../src/errors.ts';
import { temporaryDirectory } from '../support/files.ts';

const base = { certs: ['/certs'], upstream: ['http://127.0.0.1:8080'] };
const twoBundles = 'trust:\n  staff: {path: /staff}\n  partners: {path: /partners}\n';
const oneBundle = 'trust: {staff: {path: /staff}}\n';

async function load(t: TestContext, text: string): Promise<Config> {
  const path = join(await temporaryDirectory(t), 'swivel.yaml');
  await writeFile(path, text);
  return loadConfig(path, base, {});
}

/** Loads what must be refused. @returns what is said, what to do, and the line */
async function refused(t: TestContext, text: string): Promise<[string, string, number | undefined]> {
  const error = await load(t, text).then(
    () => assert.fail(`accepted: ${text}`),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof SwivelError, String(error));
  assert.equal(error.code, 'CONFIG_INVALID', error.line);
  return [error.message, error.remedy, error.place?.line];
}

const listener = (rule: string) => `listeners:\n  - address: 127.0.0.1:8443\n    clientCertificates:\n${rule}`;
const rulesOf = ({ listeners }: Config) => listeners[0]?.clientCertificates;

test('the only trust bundle is filled in, for the listener and for each of its hosts', async (t) => {
  const text = `${oneBundle}${listener('      {mode: optional, hosts: {a.test: {mode: required}, "*.b.test": {mode: "off"}}}\n')}`;
  assert.deepEqual(rulesOf(await load(t, text)), {
    mode: 'optional',
    trust: 'staff',
    hosts: { 'a.test': { mode: 'required', trust: 'staff' }, '*.b.test': { mode: 'off' } },
  });
});

test('of several bundles each rule names its own', async (t) => {
  const rule = '      {mode: optional, trust: partners, hosts: {a.test: {mode: required, trust: staff}}}\n';
  assert.deepEqual(rulesOf(await load(t, `${twoBundles}${listener(rule)}`)), {
    mode: 'optional',
    trust: 'partners',
    hosts: { 'a.test': { mode: 'required', trust: 'staff' } },
  });
});

test('who asks nobody needs no bundle', async (t) => {
  const rules = rulesOf(await load(t, listener('      {mode: "off", hosts: {a.test: {mode: "off"}}}\n')));
  assert.deepEqual(rules, { mode: 'off', hosts: { 'a.test': { mode: 'off' } } });
  assert.deepEqual((await load(t, oneBundle)).trust, { staff: { path: '/staff' } });
});

test('without any bundle, or with several and none named: said where it is missing', async (t) => {
  assert.deepEqual(await refused(t, listener('      mode: required\n')), [
    'listeners.0.clientCertificates.trust is missing',
    'define a bundle under trust',
    3,
  ]);
  const inHost =
    '      mode: "off"\n      hosts:\n        a.test: {mode: "off"}\n        b.test:\n          mode: optional\n';
  assert.deepEqual(await refused(t, `${listener(inHost)}${twoBundles}`), [
    'listeners.0.clientCertificates.hosts.b.test.trust is missing',
    'one of: staff, partners',
    7,
  ]);
});

test('a bundle that does not exist: said where it is named, with the one that was meant', async (t) => {
  const named = (trust: string, bundles: string) =>
    refused(t, `${listener(`      mode: required\n      trust: ${trust}\n`)}${bundles}`);
  assert.deepEqual(await named('partner', twoBundles), [
    'listeners.0.clientCertificates.trust: there is no trust bundle "partner"',
    'did you mean "partners"?',
    5,
  ]);
  assert.deepEqual((await named('customers', twoBundles))[1], 'there are: staff, partners');
  assert.deepEqual((await named('staff', ''))[1], 'define it under trust');
  const inHost =
    '      mode: "off"\n      hosts:\n        "*.a.test":\n          mode: optional\n          trust: stuff\n';
  assert.deepEqual(await refused(t, `${oneBundle}${listener(inHost)}`), [
    'listeners.0.clientCertificates.hosts.*.a.test.trust: there is no trust bundle "stuff"',
    'did you mean "staff"?',
    9,
  ]);
  assert.deepEqual(await refused(t, `${oneBundle}gate:\n  anchors: staf\n`), [
    'gate.anchors: there is no trust bundle "staf"',
    'did you mean "staff"?',
    3,
  ]);
});

test('two rules for one host, written differently: said where the second stands', async (t) => {
  const rule = '      mode: "off"\n      hosts:\n        a.test: {mode: required}\n        A.Test.: {mode: "off"}\n';
  assert.deepEqual(await refused(t, `${oneBundle}${listener(rule)}`), [
    'listeners.0.clientCertificates.hosts.A.Test.: there is another rule for a.test',
    'keep one of them',
    8,
  ]);
});

test('a header that tells of a certificate has a name of its own', async (t) => {
  const headers = (text: string) =>
    refused(t, `proxy:\n  certificateHeader: X-Certificate\n  clientCertificateHeaders:\n${text}`);
  assert.deepEqual(await headers('    xfcc: X-Forwarded-Client-Cert\n    subject: x-certificate\n'), [
    'proxy.clientCertificateHeaders.subject: the header x-certificate is used for something else',
    'choose another name',
    5,
  ]);
  assert.deepEqual((await headers('    names: X-A\n    serial: x-a\n'))[2], 5);
  for (const name of ['Host', 'content-length', 'Transfer-Encoding', 'Connection', 'TE']) {
    assert.deepEqual((await headers(`    names: ${name}\n`))[2], 4, name);
  }
});

test('rules that are none', async (t) => {
  for (const [rule, says] of [
    ['      {hosts: {a.test: {mode: "off"}}}\n', /mode/],
    ['      {mode: maybe}\n', /mode/],
    ['      {mode: "off", hosts: {"a*.test": {mode: "off"}}}\n', /host/],
  ] as const) {
    const [message, , line] = await refused(t, `${listener(rule)}${oneBundle}`);
    assert.match(message, says);
    assert.ok(line === 3 || line === 4, `${line} ${message}`);
  }
});
