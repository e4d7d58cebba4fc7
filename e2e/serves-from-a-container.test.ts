import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, get } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { KubernetesVolume, secretOf, temporaryDirectory, writeAtomically } from '../test/support/files.ts';
import { bodyFor } from '../test/support/load/bodies.ts';
import { presentedFingerprint } from '../test/support/load/probe.ts';
import { startUpstream } from '../test/support/load/upstream.ts';
import { type Authority, createAuthority, type Leaf } from '../test/support/pki.ts';
import { buildImage, Container, freePort, removeImage, run, runInImage, whyNoContainers } from './support/container.ts';

// The program in the container runs as another user, who has to be able to read what is written here.
process.umask(0o022);

const skip = await whyNoContainers();
const upstreamFlags = ['--upstream', 'http://127.0.0.1:1'];

describe('the image', { skip }, () => {
  let image = '';
  let authority: Authority;

  before(async () => {
    authority = await createAuthority();
    image = await buildImage();
  });
  after(() => (image === '' ? undefined : removeImage(image)));

  /** A directory with one certificate, as `site.pem`. */
  async function certificates(t: Parameters<typeof temporaryDirectory>[0], leaf: Leaf): Promise<string> {
    const directory = join(await temporaryDirectory(t), 'certs');
    await mkdir(directory);
    await writeSite(directory, leaf);
    return directory;
  }

  const writeSite = (directory: string, leaf: Leaf) =>
    writeAtomically(join(directory, 'site.pem'), leaf.keyPem + leaf.chainPem, 0o644);
  const rotatedTo = ({ fingerprint256 }: Leaf) => ({
    of: (container: Container) => container.line(({ event, to }) => event === 'rotation' && to === fingerprint256),
  });

  test('serves, rotates through the mounted folder, is healthy, reconciles on SIGHUP, and stops with 0', async (t) => {
    const [first, second] = (await authority.issueMany([{}, {}])) as [Leaf, Leaf];
    const upstream = await startUpstream();
    t.after(() => upstream.close());
    const certs = await certificates(t, first);
    const container = new Container(t, image, ['--upstream', upstream.url, '--listen', '127.0.0.1:0'], {
      mounts: { '/certs': certs },
      // The health check asks at this address too, so it has to be known before.
      env: { SWIVEL_ADMIN: `127.0.0.1:${await freePort()}` },
      network: 'host',
    });
    const target = { port: await container.port(), servername: 'localhost', ca: authority.certificatePem };
    assert.equal(await presentedFingerprint(target), first.fingerprint256);
    assert.equal(await container.healthy(), true);

    const agent = new Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    assert.equal(await fetchThrough(target, '/through/a/container', agent), bodyFor('/through/a/container'));

    await writeSite(certs, second);
    await rotatedTo(second).of(container);
    assert.equal(await presentedFingerprint(target), second.fingerprint256);
    const status = await container.exec('swivel', 'status', '--json');
    assert.equal(JSON.parse(status.stdout).certificates[0].fingerprint256, second.fingerprint256);

    await writeFile(join(certs, 'site.pem'), 'not a certificate');
    await container.signal('HUP');
    await container.line(({ event }) => event === 'rejected');
    await container.line(({ event }) => event === 'reload');
    assert.equal(await presentedFingerprint(target), second.fingerprint256);
    assert.equal(await container.healthy(), true);

    // The agent still holds an idle connection: a stop must not wait for its client.
    const { code } = await container.stop();
    assert.equal(code, 0);
    assert.ok(container.lines.some(({ event }) => event === 'stopped'));
  });

  test('serves a Kubernetes Secret, and the next one after the ..data swap', async (t) => {
    const [first, second, third] = (await authority.issueMany([{}, {}, {}])) as [Leaf, Leaf, Leaf];
    const volume = new KubernetesVolume(join(await temporaryDirectory(t), 'secret'));
    await volume.update(secretOf(first));
    const container = new Container(t, image, [...upstreamFlags, '--listen', '127.0.0.1:0'], {
      mounts: { '/certs': volume.directory },
      env: { SWIVEL_ADMIN: 'off' },
      network: 'host',
    });
    const target = { port: await container.port(), servername: 'localhost', ca: authority.certificatePem };
    assert.equal(await presentedFingerprint(target), first.fingerprint256);
    // Twice, because a watch on the files would die with the first swap.
    for (const leaf of [second, third]) {
      await volume.updateLeaf(leaf);
      await rotatedTo(leaf).of(container);
      assert.equal(await presentedFingerprint(target), leaf.fingerprint256);
    }
    assert.equal((await container.stop()).code, 0);
  });

  test('needs no more than a folder at /certs and an upstream', async (t) => {
    const certs = await certificates(t, await authority.issue());
    const container = new Container(t, image, upstreamFlags, { mounts: { '/certs': certs }, network: 'none' });
    const { addresses, admin } = await container.line(({ event }) => event === 'listening');
    assert.deepEqual({ addresses, admin }, { addresses: ['[::]:8443'], admin: '[::]:9901' });
    assert.equal(await container.healthy(), true);
  });

  test('a mounted configuration file wins over what the image says', async (t) => {
    const certs = await certificates(t, await authority.issue());
    const config = join(await temporaryDirectory(t), 'config');
    await mkdir(config);
    const settings = {
      certificates: [{ path: '/secrets/site.pem' }],
      upstreams: { legacy: { targets: ['http://127.0.0.1:1'] } },
      admin: { address: '127.0.0.1:9902' },
    };
    await writeFile(join(config, 'swivel.yaml'), JSON.stringify(settings));
    const container = new Container(t, image, ['--config', '/etc/swivel/swivel.yaml'], {
      mounts: { '/etc/swivel': config, '/secrets': certs },
      network: 'none',
    });
    const { admin } = await container.line(({ event }) => event === 'listening');
    assert.equal(admin, '127.0.0.1:9902');
    assert.equal((await container.exec('swivel', 'status', '--ready', '--admin', '9902')).code, 0);
    assert.equal(await container.healthy(), false, 'a health check that asks at the wrong address must not pass');
  });

  test('without certificates ends with 3 and says where they belong', async (t) => {
    const certs = join(await temporaryDirectory(t), 'certs');
    await mkdir(certs);
    const options = { mounts: { '/certs': certs }, network: 'none' } as const;
    const served = await new Container(t, image, upstreamFlags, options).ended();
    assert.equal(served.code, 3);
    assert.match(served.stderr, /NOTHING_SERVABLE.*\n.*SOURCE_EMPTY.*\/certs.*tls\.crt/);
    const checked = await new Container(t, image, ['check', ...upstreamFlags], options).ended();
    assert.equal(checked.code, 3);
    const unmounted = await new Container(t, image, upstreamFlags, { network: 'none' }).ended();
    assert.equal(unmounted.code, 3);
    assert.match(unmounted.stderr, /SOURCE_MISSING.*\/certs.*volume mount/);
  });

  test('holds the program and nothing else of the checkout, and does not run as root', async () => {
    const list = async (path: string) => (await runInImage(image, 'ls', '-A', path)).trim().split('\n');
    assert.deepEqual(await list('/app'), ['LICENSE', 'config', 'dist', 'node_modules', 'package.json']);
    const packages = await list('/app/node_modules');
    assert.ok(packages.includes('pino') && !packages.includes('typescript'));
    const { stdout } = await run('podman', ['image', 'inspect', '--format={{.Config.User}}', image]);
    assert.equal(stdout.trim(), '1000:1000');
  });
});

/** The body of a response that came through the proxy. */
async function fetchThrough(target: { port: number; ca: string }, path: string, agent: Agent): Promise<string> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ host: '127.0.0.1', servername: 'localhost', ...target, path, agent }, resolve).once('error', reject);
  });
  return text(response);
}
