import '../support/reflect-metadata.ts';
import assert from 'node:assert/strict';
import { webcrypto, X509Certificate } from 'node:crypto';
import { before, describe, test } from 'node:test';
import * as x509 from '@peculiar/x509';
import fc from 'fast-check';
import { fieldNamesFor } from '../../src/proxy/field-names.ts';
import { readFields } from '../../src/proxy/headers.ts';
import { type ClientHeaderNames, clientHeaders, parseAuthority, sentFields } from '../../src/proxy/index.ts';
import { generateKeys, type KeyPair, signingKey } from '../support/keys.ts';

x509.cryptoProvider.set(webcrypto as unknown as Crypto);

type Name = readonly { readonly type: 'dns' | 'url' | 'email' | 'ip' | 'dn'; readonly value: string }[];

/** Parts of a distinguished name, the most general first. */
type Subject = readonly Readonly<Record<string, readonly string[]>>[];

let keys: KeyPair;
before(async () => {
  keys = await generateKeys('ec-p256');
});

/** A certificate with any names, also such as no authority should sign. */
async function certificate(subject: Subject, names: Name = [], serialNumber = '0a1b'): Promise<X509Certificate> {
  const made = await x509.X509CertificateGenerator.create({
    subject: new x509.Name(subject.map((part) => Object.fromEntries(Object.entries(part).map(inUtf8)))),
    issuer: 'CN=issuer',
    serialNumber,
    publicKey: keys.publicKey.export({ type: 'spki', format: 'der' }),
    signingKey: signingKey(keys, 'SHA-256') as CryptoKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: names.length > 0 ? [new x509.SubjectAlternativeNameExtension([...names])] : [],
  });
  return new X509Certificate(Buffer.from(made.rawData));
}

function inUtf8([type, values]: readonly [string, readonly string[]]) {
  return [type, values.map((value) => ({ utf8String: value }))] as const;
}

const all: ClientHeaderNames = {
  xfcc: 'x-cert',
  subject: 'x-sub',
  names: 'x-names',
  fingerprint: 'x-fp',
  serial: 'x-no',
};

function valuesFor(of: X509Certificate, names: ClientHeaderNames = all): Record<string, string> {
  const headers = clientHeaders(of, names);
  return Object.fromEntries(
    headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1] ?? '']] : [])) as [string, string][],
  );
}

const bareHex = ({ fingerprint256 }: X509Certificate) => fingerprint256.replaceAll(':', '').toLowerCase();

describe('what upstream is told', () => {
  test('everything in one, as Envoy writes it: URIs before DNS names, each by itself', async () => {
    const one = await certificate(
      [{ C: ['US'] }, { O: ['Lyft'] }, { CN: ['Test Client'] }],
      [
        { type: 'dns', value: 'blah.com' },
        { type: 'url', value: 'http://testclient.lyft.com' },
        { type: 'email', value: 'x@y.test' },
        { type: 'dns', value: 'www.blah.com' },
      ],
    );
    assert.equal(
      valuesFor(one)['x-cert'],
      `Hash=${bareHex(one)};Subject="CN=Test Client,O=Lyft,C=US";URI=http://testclient.lyft.com;DNS=blah.com;DNS=www.blah.com`,
    );
  });

  test('or its parts, each in a field of its own', async () => {
    const one = await certificate(
      [{ DC: ['test'] }, { CN: ['client'] }],
      [
        { type: 'dns', value: 'a.test' },
        { type: 'ip', value: '192.0.2.1' },
        { type: 'url', value: 'spiffe://a/b' },
        { type: 'email', value: 'x@y.test' },
      ],
      '00ff1b',
    );
    const { 'x-cert': _, ...parts } = valuesFor(one);
    assert.deepEqual(parts, {
      'x-sub': 'CN=client,DC=test',
      'x-names': 'a.test,192.0.2.1,spiffe://a/b,x@y.test',
      'x-fp': bareHex(one),
      'x-no': 'ff1b',
    });
  });

  test('nothing that was not named', async () => {
    const one = await certificate([{ CN: ['client'] }]);
    assert.deepEqual(clientHeaders(one, {}), []);
    assert.deepEqual(Object.keys(valuesFor(one, { serial: 'x-no' })), ['x-no']);
    assert.deepEqual(Object.keys(valuesFor(one, { subject: 'x-sub' })), ['x-sub'], 'not what was asked for before');
  });

  test('neither subject nor names: the fields are there, and empty', async () => {
    const one = await certificate([]);
    assert.deepEqual(valuesFor(one), {
      'x-cert': `Hash=${bareHex(one)};Subject=""`,
      'x-sub': '',
      'x-names': '',
      'x-fp': bareHex(one),
      'x-no': '0a1b',
    });
  });

  test('the subject as RFC 4514 writes it, parts of several values with a plus', async () => {
    const subject = [{ C: ['DE'] }, { OU: ['a + b'], SN: ['u'] }, { CN: ['Ä, "x"\\; #1 '] }];
    const value = valuesFor(await certificate(subject))['x-sub'] ?? '';
    assert.deepEqual(parseSubject(value), [['CN=Ä, "x"\\; #1 '], ['OU=a + b', 'SN=u'], ['C=DE']]);
    assert.match(value, /^[ -~]+$/);
  });

  test('one name that holds a comma stays one name', async () => {
    const one = await certificate([{ CN: ['x'] }], [{ type: 'url', value: 'spiffe://a/b,admin.test' }]);
    assert.equal(valuesFor(one)['x-names'], 'spiffe://a/b\\2Cadmin.test');
    assert.match(valuesFor(one)['x-cert'] ?? '', /;URI="spiffe:\/\/a\/b,admin.test"$/);
  });
});

const nasty = fc.constantFrom(
  ...'",;=+\\<># \n\r\t\0\x7faZ09.-_/:é€',
  '\\"',
  '",',
  '";DNS=',
  ',Hash=',
  ' + ',
  '\\2C',
  '\\\\"',
);
const anyText = fc
  .array(fc.oneof(nasty, fc.string({ minLength: 1, maxLength: 3 })), { minLength: 1, maxLength: 8 })
  .map((parts) => parts.join(''));
/** An IA5String holds bytes. */
const anyName = anyText.map((text) => text.replace(/[^\0-\xff]/g, 'ÿ').replace(/\s+$/, '_'));
const anyNames = fc.array(fc.record({ type: fc.constantFrom('dns' as const, 'url' as const), value: anyName }), {
  maxLength: 4,
});

describe('whatever a certificate says', () => {
  test('the fields hold printable ASCII, and say what it says, no more and no less', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyText, { minLength: 1, maxLength: 3 }), anyNames, async (subject, names) => {
        const one = await certificate(
          subject.map((value) => ({ CN: [value] })),
          names,
        );
        const values = valuesFor(one);
        for (const value of Object.values(values)) assert.match(value, /^[ -~]*$/);
        const toldNames = values['x-names'] === '' ? [] : (values['x-names'] ?? '').split(',').map(bytesOf);
        assert.deepEqual(
          toldNames,
          names.map(({ value }) => value),
        );
        const told = subject.map((value) => [`CN=${value}`]).toReversed();
        assert.deepEqual(parseSubject(values['x-sub'] ?? ''), told);
        const expected = [
          ['Hash', bareHex(one)],
          ...names.filter(({ type }) => type === 'url').map(({ value }) => ['URI', value]),
          ...names.filter(({ type }) => type === 'dns').map(({ value }) => ['DNS', value]),
        ];
        for (const lenient of [false, true]) {
          const elements = parseXfcc(values['x-cert'] ?? '', lenient);
          assert.equal(elements.length, 1);
          const [hash = [], subjectPart = [], ...rest] = elements[0] ?? [];
          assert.equal(subjectPart[0], 'Subject');
          assert.deepEqual(
            [hash, ...rest].map(([key]) => key),
            expected.map(([key]) => key),
          );
          if (lenient) continue;
          assert.deepEqual(
            [hash, ...rest].map(([key, value = '']) => [key, bytesOf(value)]),
            expected,
          );
          assert.deepEqual(parseSubject(subjectPart[1] ?? ''), told);
        }
      }),
      { numRuns: 100 },
    );
  });
});

/**
 * Reads `X-Forwarded-Client-Cert` as Envoy documents it: elements at commas, pairs at semicolons, keys up to the equals sign.
 * @param lenient a backslash makes any character plain, not a quote alone
 */
function parseXfcc(text: string, lenient: boolean): [string, string][][] {
  const elements: [string, string][][] = [[]];
  let key = '';
  let value: string | null = null;
  let inQuotes = false;
  const end = () => {
    assert.notEqual(value, null, `a pair without equals sign in ${text}`);
    elements.at(-1)?.push([key, value ?? '']);
    key = '';
    value = null;
  };
  for (let i = 0; i < text.length; i += 1) {
    const character = text[i] ?? '';
    if (inQuotes && character === '\\' && (lenient || text[i + 1] === '"')) {
      i += 1;
      value += text[i] ?? '';
    } else if (character === '"') inQuotes = !inQuotes;
    else if (inQuotes) value += character;
    else if (character === ';' || character === ',') {
      end();
      if (character === ',') elements.push([]);
    } else if (character === '=' && value === null) value = '';
    else if (value === null) key += character;
    else value += character;
  }
  assert.equal(inQuotes, false, `an open quote in ${text}`);
  end();
  return elements;
}

/** Reads a distinguished name (RFC 4514 §3): parts, each of one or more values. */
function parseSubject(text: string): string[][] {
  const parts: string[][] = [];
  for (const part of text.split(/(?<=^(?:[^\\]|\\.)*),/s)) {
    parts.push(
      part.split(/(?<=^(?:[^\\]|\\.)*)\+/s).map((value) => Buffer.from(unescaped(value), 'latin1').toString()),
    );
  }
  return parts;
}

function unescaped(text: string): string {
  return text.replace(/\\([0-9A-F]{2}|.)/g, (_, what: string) =>
    what.length === 2 ? String.fromCharCode(Number.parseInt(what, 16)) : what,
  );
}

/** The bytes of a name, each as a character. */
function bytesOf(text: string): string {
  return text.replace(/\\([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

describe('what clients say of themselves', () => {
  const names: ClientHeaderNames = { ...all, xfcc: 'x-forwarded-client-cert', subject: 'client-subject' };
  const forged = [
    ...['X-Forwarded-Client-Cert', 'x-forwarded-client-cert', 'X_Forwarded_Client_Cert', 'X-Forwarded_Client-Cert'],
    ...['Client-Subject', 'CLIENT-SUBJECT', 'client_subject', 'X-Names', 'X_NAMES', 'x-fp', 'X_Fp', 'X-No', 'x_no'],
  ];
  const authority = parseAuthority('app.test');
  const received = [...forged, ...forged].flatMap((name) => [name, 'forged']);

  for (const trusted of [false, true]) {
    for (const named of [false, true]) {
      const who = `${trusted ? 'a trusted proxy' : 'a client'}${named ? ' that names them in Connection' : ''}`;
      test(`is never passed on, from ${who}, with a certificate or without`, async () => {
        assert.ok(authority);
        const leaf = await certificate([{ CN: ['real'] }], [{ type: 'dns', value: 'real.test' }]);
        const connection = named ? ['Connection', forged.join(', ')] : [];
        const facts = {
          address: '192.0.2.1',
          certificate: { id: 'app', fingerprint256: 'ab', names: ['app.test'] },
          admit: () => ({ kind: 'admit', certificate: null }) as const,
        };
        const options = { trusts: () => trusted, certificateHeader: null, clientHeaders: names };
        for (const chain of [null, [leaf]]) {
          const shown = chain && { chain, resumed: false, fault: null };
          const read = readFields([...connection, ...received], fieldNamesFor(options));
          const headers: readonly string[] = sentFields(read, authority, facts, options, shown, '').text.headers;
          assert.equal(headers.includes('forged'), false);
          const told = headers.filter((name, i) => i % 2 === 0 && /cert|subject|x-names|x-fp|x-no/i.test(name));
          assert.deepEqual(told, chain ? [names.xfcc, names.subject, 'x-names', 'x-fp', 'x-no'] : []);
        }
      });
    }
  }
});
