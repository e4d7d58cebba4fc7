import { execFile } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Pebble } from './pebble.ts';

const execute = promisify(execFile);

/** The real certbot, with all that it keeps in a directory of its own. */
export class Certbot {
  readonly #pebble: Pebble;
  readonly #base: string;
  readonly #hook: string;

  /** `live/site`: what a server is told to read. @param base as given to the constructor */
  static liveBelow(base: string): string {
    return join(base, 'etc', 'live', 'site');
  }

  /**
   * @param base a directory for everything that certbot keeps; it is made when it is not there
   * @param hook a shell command, run after each renewal (`--deploy-hook`); `$RENEWED_LINEAGE` is the directory of links
   */
  constructor(pebble: Pebble, base: string, hook: string) {
    this.#pebble = pebble;
    this.#base = base;
    this.#hook = hook;
  }

  /** The first certificate: proves every name by HTTP-01. @returns PEM of the whole chain */
  async obtain(names: readonly string[]): Promise<string> {
    await mkdir(this.#base, { recursive: true });
    const { url, challengePort } = this.#pebble;
    const account = ['--agree-tos', '--register-unsafely-without-email', '--server', url];
    const proof = ['--standalone', '--http-01-address', '127.0.0.1', '--http-01-port', String(challengePort)];
    const what = ['--key-type', 'ecdsa', '--cert-name', 'site', ...names.flatMap((name) => ['-d', name])];
    return this.#run('certonly', ...account, ...proof, ...what, '--deploy-hook', this.#hook);
  }

  /** A new certificate with a new key. @returns PEM of the whole chain */
  async renew(): Promise<string> {
    return this.#run('renew', '--force-renewal', '--no-random-sleep-on-renew', '--deploy-hook', this.#hook);
  }

  async #run(...args: readonly string[]): Promise<string> {
    const places = ['--config-dir', 'etc', '--work-dir', 'work', '--logs-dir', 'log'].map((word) =>
      word.startsWith('--') ? word : join(this.#base, word),
    );
    const env = { ...process.env, REQUESTS_CA_BUNDLE: this.#pebble.caFile };
    await execute('certbot', [...args, '--non-interactive', '--quiet', ...places], { env });
    return readFile(join(Certbot.liveBelow(this.#base), 'fullchain.pem'), 'utf8');
  }
}
