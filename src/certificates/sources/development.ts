import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { isIP, SocketAddress } from 'node:net';
import { resolve } from 'node:path';
import { type Finding, finding, systemCode } from '../../errors.ts';
import {
  backdating,
  type DevelopmentCertificate,
  defaultLifetime,
  developmentAuthority,
  developmentFiles,
  issueUnderLock,
} from '../development.ts';
import { withDirectoryLock } from '../directory-lock.ts';
import { normalizeName } from '../names.ts';
import type { CertificateSource, LoadOptions, SourceMaterial } from '../types.ts';
import { PemDirectorySource } from './pem-directory.ts';

export interface DevelopmentSourceOptions {
  /** A directory; made when missing. */
  readonly path: string;
  /** DNS names and IP addresses, at least one. */
  readonly names: readonly string[];
  /** Milliseconds; 30 days by default, at least a second. */
  readonly lifetime?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Told of each certificate that was issued. */
  readonly issued?: (certificate: DevelopmentCertificate) => void;
}

/** The leaf that is there: until when it will do, milliseconds since 1970. `foreign` is not ours to replace; `absent` is none that will do. */
type Present = { readonly renewAt: number } | 'foreign' | 'absent';

/** Milliseconds that a failed attempt to write is not repeated, unless everything is to be looked at. */
const respite = 30_000;

/**
 * A directory whose certificate Swivel issues itself, and issues again, with another key, when its names are not those configured
 * or less than a third of its lifetime is left. It is then read as {@link PemDirectorySource} reads it. What another authority than the
 * development CA issued is served and never replaced.
 */
export class DevelopmentSource implements CertificateSource {
  readonly id: string;
  readonly #path: string;
  readonly #names: readonly string[];
  readonly #lifetime: number;
  readonly #now: () => number;
  readonly #issued: (certificate: DevelopmentCertificate) => void;
  readonly #directory: PemDirectorySource;
  /** What was issued last: a name that came out otherwise than it was asked for is no reason to issue it for ever. */
  #serialNumber: string | null = null;
  #failure: { readonly finding: Finding; readonly until: number } | null = null;

  constructor({
    path,
    names,
    lifetime = defaultLifetime,
    now = Date.now,
    issued = () => {},
  }: DevelopmentSourceOptions) {
    this.id = path;
    this.#path = resolve(path);
    this.#names = names;
    this.#lifetime = lifetime;
    this.#now = now;
    this.#issued = issued;
    this.#directory = new PemDirectorySource(path);
  }

  get watch() {
    return this.#directory.watch;
  }

  async load(options: LoadOptions): Promise<SourceMaterial> {
    const renewAt = await this.#renew(options.thorough);
    const material = await this.#directory.load(options);
    const askAgainAt = this.#failure?.until ?? renewAt;
    return {
      ...material,
      ...(askAgainAt === null ? {} : { askAgainAt }),
      findings: this.#failure ? [weighed(this.#failure.finding, material), ...material.findings] : material.findings,
    };
  }

  /** Issues a certificate when that is due. @returns when it will be due, null when never */
  async #renew(insistent: boolean): Promise<number | null> {
    const present = await this.#look();
    if (!this.#isDue(present)) {
      this.#failure = null;
      return renewalOf(present);
    }
    if (this.#failure && !insistent && this.#now() < this.#failure.until) return null;
    try {
      await mkdir(this.#path, { recursive: true });
      await withDirectoryLock(this.#path, async () => {
        // Another process may have done it meanwhile.
        if (!this.#isDue(await this.#look())) return;
        const options = { lifetime: this.#lifetime, now: this.#now() };
        const issued = await issueUnderLock(this.#path, this.#names, options);
        this.#serialNumber = issued.serialNumber;
        this.#issued(issued);
      });
      this.#failure = null;
    } catch (error) {
      const code = systemCode(error);
      if (code === undefined) throw error;
      const message = `no development certificate can be written into ${this.#path} (${code})`;
      this.#failure = {
        finding: finding('OUTPUT_UNWRITABLE', 'warning', { message, file: this.#path }),
        until: this.#now() + respite,
      };
    }
    return renewalOf(await this.#look());
  }

  #isDue(present: Present): boolean {
    return present === 'absent' || (present !== 'foreign' && present.renewAt <= this.#now());
  }

  async #look(): Promise<Present> {
    const { certificateFile, keyFile } = developmentFiles(this.#path);
    let leaf: X509Certificate;
    try {
      leaf = new X509Certificate(await readFile(certificateFile));
    } catch (error) {
      const code = systemCode(error);
      return code === 'ENOENT' || code === 'ENOTDIR' ? 'absent' : 'foreign';
    }
    if (leaf.issuer !== `CN=${developmentAuthority}` || leaf.ca) return 'foreign';
    if (!(await holdsKeyOf(leaf, keyFile))) return 'absent';
    if (leaf.serialNumber.toLowerCase() !== this.#serialNumber && !this.#coversNames(leaf)) return 'absent';
    const end = leaf.validToDate.getTime();
    return { renewAt: end - (end - leaf.validFromDate.getTime() - backdating) / 3 };
  }

  #coversNames(leaf: X509Certificate): boolean {
    const actual = (leaf.subjectAltName ?? '').split(', ').map((name) => comparable(name.replace(/^[^:]*:/, '')));
    return sameSet(new Set(actual), new Set(this.#names.map(comparable)));
  }
}

function renewalOf(present: Present): number | null {
  return typeof present === 'string' ? null : present.renewAt;
}

/** A failed renewal keeps nothing from being served; a first certificate that could not be written is why there is none. */
function weighed(failure: Finding, { identities }: SourceMaterial): Finding {
  return identities.length > 0 ? failure : { ...failure, severity: 'error' };
}

async function holdsKeyOf(leaf: X509Certificate, file: string): Promise<boolean> {
  try {
    return leaf.checkPrivateKey(createPrivateKey(await readFile(file)));
  } catch {
    return false;
  }
}

/** A name in the one form in which it equals its other spellings. */
function comparable(name: string): string {
  if (isIP(name) !== 6) return normalizeName(name);
  return new SocketAddress({ address: name, family: 'ipv6' }).address;
}

function sameSet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((one) => b.has(one));
}
