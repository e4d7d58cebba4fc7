import { X509Certificate } from 'node:crypto';
import { posix } from 'node:path';
import { type Finding, finding } from '../../errors.ts';
import type { FileContent, FileFault, Snapshot } from '../../files/index.ts';
import { isCertificateLabel, isKeyLabel, parsePem } from '../pem.ts';
import type { Keystore } from '../pkcs12/index.ts';
import type { IdentityMaterial } from '../types.ts';
import { FileMaterial, passphraseOf } from './file-material.ts';
import {
  certbot,
  certificateExtensions,
  certManager,
  isKeystore,
  isWantedName,
  passphraseExtensions,
  stemOf,
} from './file-names.ts';

/** What files make up. */
export interface Parts {
  readonly identities: readonly IdentityMaterial[];
  /** Still to be opened, which takes time. */
  readonly keystores: readonly Keystore[];
  readonly findings: readonly Finding[];
}

const none: readonly never[] = [];
/** What no files make up. */
export const nothing: Parts = { identities: none, keystores: none, findings: none };

function kept<T>(items: readonly T[]): readonly T[] {
  return items.length === 0 ? none : items;
}

/** Makes identities of files of one directory that belong together, by their names. */
export class Assembly {
  /** By id: one id means one certificate. */
  readonly #identities = new Map<string, IdentityMaterial>();
  readonly #keystores: Keystore[] = [];
  readonly #findings: Finding[] = [];
  /** The keystores of the directory at hand, by the stem of their names. */
  #stores = new Map<string, string[]>();
  readonly #source: string;
  readonly #snapshot: Pick<Snapshot, 'files' | 'faults'>;

  /**
   * @param directory below the source; `.` for the source itself
   * @param names base names of files there
   */
  constructor(
    source: string,
    snapshot: Pick<Snapshot, 'files' | 'faults'>,
    directory: string,
    names: ReadonlySet<string>,
  ) {
    this.#source = source;
    this.#snapshot = snapshot;
    this.#assemble(directory, names);
  }

  /** Without what it was made from: that is replaced with the next change of anything. */
  get result(): Parts {
    const identities = this.#identities.size === 0 ? none : [...this.#identities.values()];
    return { identities, keystores: kept(this.#keystores), findings: kept(this.#findings) };
  }

  #assemble(directory: string, names: ReadonlySet<string>): void {
    const below = (name: string) => (directory === '.' ? name : `${directory}/${name}`);
    const used = new Set<string>();
    if (names.has(certbot.key) && (names.has(certbot.full) || names.has(certbot.leaf))) {
      for (const name of Object.values(certbot)) used.add(name);
      const parts = names.has(certbot.full)
        ? [certbot.full]
        : [certbot.leaf, certbot.chain].filter((n) => names.has(n));
      // Of one id, whichever parts there are: certbot takes a link away before it puts the next one there.
      const passphrase = this.#passphrase(names, below, ['fullchain', 'privkey']);
      this.#identity(below('fullchain'), parts.map(below), below(certbot.key), passphrase);
    }
    const rest = [...names].filter((name) => !used.has(name));
    this.#stores = Map.groupBy(rest.filter(isKeystore), stemOf);
    for (const name of rest) {
      const extension = posix.extname(name);
      const stem = stemOf(name);
      if (extension === '.key') this.#pair(stem, name, names, below);
      else if (certificateExtensions.includes(extension) && !names.has(`${stem}.key`))
        this.#alone(stem, name, names, below);
    }
    for (const [stem, stores] of this.#stores) this.#keystore(stem, stores, names, below);
    for (const name of names) {
      // A sub-directory that cannot be listed; a file's own fault is reported with its identity.
      const fault = isWantedName(name) ? undefined : this.#snapshot.faults.get(below(name));
      if (fault) this.#fault(below(name), fault);
    }
  }

  #pair(stem: string, key: string, names: ReadonlySet<string>, below: (name: string) => string): void {
    const certificate = certificateExtensions.map((extension) => `${stem}${extension}`).find((name) => names.has(name));
    if (!certificate) {
      if (!this.#stores.has(stem)) this.#finding('CERT_MISSING', below(stem), below(key));
      return;
    }
    this.#identity(below(stem), [below(certificate)], below(key), this.#passphrase(names, below, [stem]));
  }

  /** A certificate file without a key file: both in one (HAProxy), or an authority's certificate, or a mistake. */
  #alone(stem: string, name: string, names: ReadonlySet<string>, below: (name: string) => string): void {
    // What Kubernetes and cert-manager keep beside tls.crt: an authority's certificate, perhaps empty, perhaps the leaf itself.
    if (name === 'ca.crt') return;
    const content = this.#snapshot.files.get(below(name));
    if (!content) {
      this.#identity(below(stem), [below(name)], below(name), undefined);
      return;
    }
    const { blocks, unfinished } = parsePem(content.bytes.toString('latin1'));
    if (blocks.some((block) => isKeyLabel(block.label)) || unfinished.some(isKeyLabel)) {
      this.#identity(below(stem), [below(name)], below(name), this.#passphrase(names, below, [stem]));
      return;
    }
    const first = blocks.find((block) => isCertificateLabel(block.label));
    if (first) {
      // Beside a keystore it is a copy of what that holds.
      if (!isAuthority(first.pem) && !this.#stores.has(stem)) this.#finding('KEY_MISSING', below(stem), below(name));
      return;
    }
    // Other PEM (dhparam.pem, a CRL, a public key) is nobody's mistake; what is not PEM at all is.
    if (blocks.length === 0)
      this.#finding(unfinished.length > 0 ? 'CERT_UNPARSABLE' : 'CERT_NOT_PEM', below(stem), below(name));
  }

  #identity(id: string, certificates: readonly string[], key: string, passphrase: string | undefined): void {
    const contents = certificates.map((name) => this.#content(name, id));
    const keyContent = certificates.includes(key) ? contents[0] : this.#content(key, id);
    const secret = passphrase === undefined ? undefined : this.#content(passphrase, id);
    if (contents.includes(undefined) || !keyContent || (passphrase !== undefined && !secret)) return;
    const found = { id, source: this.#source, certificates: contents as FileContent[], key: keyContent };
    this.#identities.set(id, new FileMaterial({ ...found, ...(secret ? { passphrase: secret } : {}) }));
  }

  #passphrase(
    names: ReadonlySet<string>,
    below: (name: string) => string,
    stems: readonly string[],
  ): string | undefined {
    for (const stem of stems) {
      const name = passphraseExtensions.map((extension) => `${stem}${extension}`).find((n) => names.has(n));
      if (name) return below(name);
    }
    return undefined;
  }

  #content(name: string, identity: string): FileContent | undefined {
    const fault = this.#snapshot.faults.get(name);
    if (fault) {
      this.#findings.push(finding(fault.code, 'error', { message: fault.message, file: fault.path, identity }));
    }
    return this.#snapshot.files.get(name);
  }

  /** PEM files of the same name go before a keystore, and `.p12` before `.pfx`: one id means one certificate. */
  #keystore(
    stem: string,
    stores: readonly string[],
    names: ReadonlySet<string>,
    below: (name: string) => string,
  ): void {
    const passphrase = this.#passphrase(names, below, [stem]);
    const isCopy = (name: string) => passphrase === undefined && certManager.keystores.includes(name);
    if (stores.every(isCopy) && certManager.pem.every((name) => names.has(name))) return;
    const id = below(stem);
    const paired = names.has(`${stem}.key`) && certificateExtensions.some((extension) => names.has(stem + extension));
    const taken = paired || this.#identities.has(id);
    const used = taken ? undefined : stores[0];
    for (const name of stores) {
      if (name !== used)
        this.#findings.push(shadowedKeystore(id, this.#pathOf(below(name)), used ?? 'a PEM certificate beside it'));
    }
    if (used === undefined) return;
    const content = this.#content(below(used), id);
    const secret = passphrase === undefined ? undefined : this.#content(passphrase, id);
    if (!content || (passphrase !== undefined && !secret)) return;
    this.#keystores.push({
      id,
      source: this.#source,
      content,
      ...(secret ? { passphrase: passphraseOf(secret) } : {}),
    });
  }

  #fault(name: string, { code, message, path }: FileFault): void {
    this.#findings.push(finding(code, 'error', { message, file: path, identity: name }));
  }

  #finding(code: Finding['code'], identity: string, name: string): void {
    this.#findings.push(finding(code, 'error', { file: this.#pathOf(name), identity }));
  }

  #pathOf(name: string): string {
    return this.#snapshot.files.get(name)?.path ?? this.#snapshot.faults.get(name)?.path ?? name;
  }
}

/** A warning: a keystore is passed over because something else has its id. */
export function shadowedKeystore(identity: string, file: string, other: string): Finding {
  const message = `${file} is passed over: ${other} has the same name`;
  return finding('NAME_SHADOWED', 'warning', { message, file, identity });
}

function isAuthority(pem: string): boolean {
  try {
    return new X509Certificate(pem).ca;
  } catch {
    return false;
  }
}
