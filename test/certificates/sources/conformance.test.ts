import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { PemDirectorySource, PemFilesSource, Pkcs12Source } from '../../../src/certificates/index.ts';
import { CertbotLive, KubernetesVolume, temporaryDirectory, writeAtomically } from '../../support/files.ts';
import type { Leaf } from '../../support/pki.ts';
import { type Contents, conforms, isolates, type SourceFixture, type WideFixture } from './conformance.ts';
import { KeystoreWriter } from './keystore-fixtures.ts';

type Write = (path: string, data: string | Buffer) => Promise<void>;
type Place = Pick<SourceFixture, 'put' | 'clear'> & { readonly directory: string };
type WidePlace = Place & Pick<WideFixture, 'putNeighbour'>;

const inPlace: Write = (path, data) => writeFile(path, data);
const filesOf = ({ chainPem, keyPem }: Contents) => ({ 'tls.crt': chainPem, 'tls.key': keyPem });

async function plainDirectory(t: TestContext, write: Write): Promise<WidePlace> {
  const directory = await temporaryDirectory(t);
  const pair = async (name: string, { chainPem, keyPem }: Contents) => {
    await write(join(directory, `${name}.key`), keyPem);
    await write(join(directory, `${name}.crt`), chainPem);
  };
  return {
    directory,
    put: (contents) => pair('tls', contents),
    putNeighbour: (contents) => pair('neighbour', contents),
    async clear() {
      for (const file of ['tls.key', 'tls.crt']) await rm(join(directory, file));
    },
  };
}

async function kubernetes(t: TestContext): Promise<WidePlace> {
  const root = await temporaryDirectory(t);
  const volume = new KubernetesVolume(join(root, 'tls'));
  let own: Record<string, string> = {};
  let neighbour: Record<string, string> = {};
  return {
    directory: volume.directory,
    put(contents) {
      own = filesOf(contents);
      return volume.update({ ...own, ...neighbour });
    },
    putNeighbour({ chainPem, keyPem }) {
      neighbour = { 'neighbour.crt': chainPem, 'neighbour.key': keyPem };
      return volume.update({ ...own, ...neighbour });
    },
    clear: () => volume.update({}),
  };
}

async function certbot(t: TestContext): Promise<Place> {
  const lineage = new CertbotLive(await temporaryDirectory(t), 'a.test');
  return {
    directory: lineage.directory,
    put: (contents) => lineage.renew(contents as Leaf),
    clear: () => rm(lineage.directory, { recursive: true }),
  };
}

/** One file with certificates and key, as HAProxy reads it. */
async function combined(t: TestContext, write: Write): Promise<Place & { readonly file: string }> {
  const directory = await temporaryDirectory(t);
  const file = join(directory, 'a.test.pem');
  return {
    directory,
    file,
    put: ({ chainPem, keyPem }) => write(file, chainPem + keyPem),
    clear: () => rm(file),
  };
}

/** A keystore with its passphrase beside it. */
async function keystores(t: TestContext, write: Write): Promise<WidePlace> {
  const directory = await temporaryDirectory(t);
  const put = (name: string) => {
    const writer = new KeystoreWriter();
    return async (contents: Contents) => {
      const { keystore, passphrase } = await writer.filesFor(contents);
      await write(join(directory, `${name}.p12`), keystore);
      if (passphrase === null) await rm(join(directory, `${name}.pass`));
      else await write(join(directory, `${name}.pass`), `${passphrase}\n`);
    };
  };
  return {
    directory,
    put: put('tls'),
    putNeighbour: put('neighbour'),
    async clear() {
      for (const file of ['tls.p12', 'tls.pass']) await rm(join(directory, file));
    },
  };
}

async function kubernetesKeystores(t: TestContext): Promise<WidePlace> {
  const root = await temporaryDirectory(t);
  const volume = new KubernetesVolume(join(root, 'tls'));
  const files = new Map<string, Record<string, string | Buffer>>();
  const put = (name: string) => {
    const writer = new KeystoreWriter();
    return async (contents: Contents) => {
      const { keystore, passphrase } = await writer.filesFor(contents);
      const secret = passphrase === null ? {} : { [`${name}.password`]: passphrase };
      files.set(name, { [`${name}.pfx`]: keystore, ...secret });
      await volume.update(Object.assign({}, ...files.values()));
    };
  };
  return {
    directory: volume.directory,
    put: put('tls'),
    putNeighbour: put('neighbour'),
    clear: () => volume.update({}),
  };
}

/** A keystore and its passphrase in two directories. */
async function namedKeystore(t: TestContext, write: Write): Promise<SourceFixture> {
  const root = await temporaryDirectory(t);
  const [pkcs12, passphraseFile] = [join(root, 'stores', 'tls.p12'), join(root, 'secrets', 'storepass')];
  for (const directory of ['stores', 'secrets']) await mkdir(join(root, directory));
  const writer = new KeystoreWriter();
  return {
    identity: 'tls',
    source: new Pkcs12Source({ pkcs12, passphraseFile }),
    async put(contents) {
      const { keystore, passphrase } = await writer.filesFor(contents);
      await write(passphraseFile, passphrase ?? '');
      await write(pkcs12, keystore);
    },
    async clear() {
      for (const file of [pkcs12, passphraseFile]) await rm(file);
    },
  };
}

async function directorySource<P extends Place>(place: Promise<P>, identity: string) {
  const fixture = await place;
  return { ...fixture, identity, source: new PemDirectorySource(fixture.directory) };
}

async function filesSource(place: Promise<Place>, cert: string, key: string): Promise<SourceFixture> {
  const { directory, put, clear } = await place;
  const source = new PemFilesSource({ cert: join(directory, cert), key: join(directory, key) });
  return { put, clear, identity: cert.slice(0, cert.lastIndexOf('.')), source };
}

for (const [name, place] of [
  ['a directory, written by rename', (t) => plainDirectory(t, writeAtomically)],
  ['a directory, written in place', (t) => plainDirectory(t, inPlace)],
  ['a Kubernetes volume', kubernetes],
  ['a directory with a keystore, written by rename', (t) => keystores(t, writeAtomically)],
  ['a directory with a keystore, written in place', (t) => keystores(t, inPlace)],
  ['a Kubernetes volume with a keystore', kubernetesKeystores],
] satisfies [string, (t: TestContext) => Promise<WidePlace>][]) {
  conforms(name, (t) => directorySource(place(t), 'tls'));
  isolates(name, (t) => directorySource(place(t), 'tls'));
}
conforms("certbot's live directory", (t) => directorySource(certbot(t), 'fullchain'));
for (const [how, write] of [
  ['by rename', writeAtomically],
  ['in place', inPlace],
] as const) {
  conforms(`a directory with one combined file, written ${how}`, (t) => directorySource(combined(t, write), 'a.test'));
  conforms(`one combined file, written ${how}`, async (t) => {
    const place = await combined(t, write);
    return { ...place, identity: 'a.test', source: new PemDirectorySource(place.file) };
  });
  conforms(`named files, written ${how}`, (t) => filesSource(plainDirectory(t, write), 'tls.crt', 'tls.key'));
  conforms(`one named file that holds both, written ${how}`, (t) =>
    filesSource(combined(t, write), 'a.test.pem', 'a.test.pem'),
  );
  conforms(`a named keystore, written ${how}`, (t) => namedKeystore(t, write));
}
conforms('named files of a Kubernetes volume', (t) => filesSource(kubernetes(t), 'tls.crt', 'tls.key'));
conforms('named files of certbot', (t) => filesSource(certbot(t), 'fullchain.pem', 'privkey.pem'));
conforms('named files in two directories', async (t) => {
  const root = await temporaryDirectory(t);
  const [cert, key] = [join(root, 'certs', 'tls.crt'), join(root, 'private', 'own.key')];
  for (const directory of ['certs', 'private']) await mkdir(join(root, directory));
  return {
    identity: 'tls',
    source: new PemFilesSource({ cert, key }),
    async put({ chainPem, keyPem }) {
      await writeAtomically(key, keyPem);
      await writeAtomically(cert, chainPem);
    },
    async clear() {
      for (const file of [cert, key]) await rm(file);
    },
  };
});
