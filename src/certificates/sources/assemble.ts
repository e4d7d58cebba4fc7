import { X509Certificate } from 'node:crypto';
import { posix } from 'node:path';
import { type Finding, finding } from '../../errors.ts';
import type { FileContent, FileFault, Snapshot } from '../../files/index.ts';
import { isCertificateLabel, isKeyLabel, parsePem, withoutKeys } from '../pem.ts';
import type { Keystore } from '../pkcs12/index.ts';
import { Secret } from '../secret.ts';
import type { IdentityMaterial, MaterialChange } from '../types.ts';

const certificateExtensions = ['.crt', '.pem', '.cer'];
const passphraseExtensions = ['.pass', '.password'];
const pkcs12Extensions = ['.p12', '.pfx'];
/** Extensions of the files that can be part of an identity. */
export const extensions: ReadonlySet<string> = new Set([
  ...certificateExtensions,
  '.key',
  ...passphraseExtensions,
  ...pkcs12Extensions,
]);

/** certbot's names: the key, the whole chain, and the two parts of it. */
const certbot = { key: 'privkey.pem', full: 'fullchain.pem', leaf: 'cert.pem', chain: 'chain.pem' };

/** Whether a file of this name can be part of an identity. */
export function isWantedName(name: string): boolean {
  return extensions.has(posix.extname(name).toLowerCase());
}

/** cert-manager's keystores: the same key and certificates as the PEM files beside them, under a passphrase from elsewhere. */
const certManager = { pem: ['tls.crt', 'tls.key'], keystores: ['keystore.p12', 'truststore.p12'] };

export interface Assembled {
  readonly identities: readonly IdentityMaterial[];
  /** Still to be opened, which takes time. */
  readonly keystores: readonly Keystore[];
  readonly findings: readonly Finding[];
  /** How the identities differ from those of the last time. */
  readonly since?: MaterialChange;
}

/**
 * Makes identities of the files of a directory by the naming conventions of Kubernetes, certbot, HAProxy and plain
 * `NAME.crt` + `NAME.key`, and finds the keystores (`NAME.p12`, `NAME.pfx`). Pure.
 */
export function assemble(source: string, snapshot: Pick<Snapshot, 'files' | 'faults'>): Assembled {
  return new Assembler(source).assemble(snapshot);
}

/** Files that make up identities together: those of one directory with one stem. */
interface Group {
  readonly directory: string;
  /** Base names, in the order in which they were found. */
  readonly names: Set<string>;
  assembled: Assembled | null;
}

const none: readonly never[] = [];
const empty: Assembled = { identities: none, keystores: none, findings: none };

function sinceOf({ identities }: Assembled, changed: MaterialChange['changed']): Pick<Assembled, 'since'> {
  return { since: { identities, changed } };
}

/** Stems of which files go together, and so are one group. */
const together = new Map([
  ...['privkey', 'fullchain', 'cert', 'chain'].map((stem) => [stem, 'privkey'] as const),
  ...['tls', 'keystore', 'truststore'].map((stem) => [stem, 'tls'] as const),
]);

/** {@link assemble} for one source, time and again: what did not change is not assembled again. */
export class Assembler {
  readonly #source: string;
  readonly #groups = new Map<string, Group>();
  #files: Snapshot['files'] | null = null;
  #result: Assembled = empty;
  #faults: Snapshot['faults'] = new Map();

  constructor(source: string) {
    this.#source = source;
  }

  assemble(snapshot: Pick<Snapshot, 'files' | 'faults' | 'since'>): Assembled {
    const { files, faults, since } = snapshot;
    const isKnown = since !== undefined && since.files === this.#files;
    if (!isKnown) this.#groups.clear();
    const names = isKnown ? [...since.changed, ...this.#faults.keys()] : files.keys();
    const touched = new Map<string, Assembled>();
    for (const name of names) this.#place(name, snapshot, touched);
    for (const name of faults.keys()) this.#place(name, snapshot, touched);
    this.#files = files;
    this.#faults = faults;
    const before = this.#result;
    if (isKnown && touched.size === 0) this.#result = { ...before, ...sinceOf(before, new Map()) };
    else this.#result = this.#collect(snapshot);
    if (!isKnown || touched.size === 0) return this.#result;
    const changed = new Map<string, IdentityMaterial | null>();
    for (const { identities } of touched.values()) for (const { id } of identities) changed.set(id, null);
    for (const key of touched.keys()) {
      for (const one of this.#groups.get(key)?.assembled?.identities ?? []) changed.set(one.id, one);
    }
    this.#result = { ...this.#result, ...sinceOf(before, changed) };
    return this.#result;
  }

  #collect(snapshot: Pick<Snapshot, 'files' | 'faults'>): Assembled {
    const identities: IdentityMaterial[] = [];
    const keystores: Keystore[] = [];
    const findings: Finding[] = [];
    for (const group of this.#groups.values()) {
      group.assembled ??= new Assembly(this.#source, snapshot, group.directory, group.names).result;
      for (const one of group.assembled.identities) identities.push(one);
      for (const one of group.assembled.keystores) keystores.push(one);
      for (const one of group.assembled.findings) findings.push(one);
    }
    return { identities, keystores, findings };
  }

  /** A file is, or was, part of its group, which is to be assembled anew. @param touched what such groups were before */
  #place(name: string, { files, faults }: Pick<Snapshot, 'files' | 'faults'>, touched: Map<string, Assembled>): void {
    const directory = posix.dirname(name);
    const base = posix.basename(name);
    const stem = stemOf(base);
    const key = `${directory}/${together.get(stem) ?? stem}`;
    const group = this.#groups.get(key) ?? { directory, names: new Set(), assembled: null };
    if (!touched.has(key)) touched.set(key, group.assembled ?? empty);
    group.assembled = null;
    if (files.has(name) || faults.has(name)) group.names.add(base);
    else group.names.delete(base);
    if (group.names.size > 0) this.#groups.set(key, group);
    else this.#groups.delete(key);
  }
}

function kept<T>(items: readonly T[]): readonly T[] {
  return items.length === 0 ? none : items;
}

class Assembly {
  /** By id: one id means one certificate. */
  readonly #identities = new Map<string, IdentityMaterial>();
  readonly #keystores: Keystore[] = [];
  readonly #findings: Finding[] = [];
  /** The keystores of the directory at hand, by the stem of their names. */
  #stores = new Map<string, string[]>();
  readonly #source: string;
  readonly #snapshot: Pick<Snapshot, 'files' | 'faults'>;

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
  get result(): Assembled {
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

interface Found {
  readonly id: string;
  readonly source: string;
  readonly certificates: readonly FileContent[];
  readonly key: FileContent;
  readonly passphrase?: FileContent;
}

/** An identity in files; their text is made when it is asked for, and not kept: of thousands, few are ever looked at again. */
class FileMaterial implements IdentityMaterial {
  readonly id: string;
  readonly source: string;
  readonly files: IdentityMaterial['files'];
  readonly passphrase?: Secret;
  readonly digest: string;
  readonly #certificates: readonly FileContent[];
  readonly #key: FileContent;

  constructor({ id, source, certificates, key, passphrase }: Found) {
    this.id = id;
    this.source = source;
    this.files = { certificate: certificates[0]?.path ?? key.path, key: key.path };
    if (passphrase) this.passphrase = passphraseOf(passphrase);
    const contents = new Set([...certificates, key, ...(passphrase ? [passphrase] : [])]);
    this.digest = [...contents].map(({ path, digest }) => `${path} ${digest}`).join(' ');
    this.#certificates = certificates;
    this.#key = key;
  }

  get certificatePem(): string {
    return this.#certificates.map(certificatesOf).join('\n');
  }

  get keyPem(): Secret {
    return new Secret(this.#key.bytes.toString('latin1'));
  }
}

/** A warning: a keystore is passed over because something else has its id. */
export function shadowedKeystore(identity: string, file: string, other: string): Finding {
  const message = `${file} is passed over: ${other} has the same name`;
  return finding('NAME_SHADOWED', 'warning', { message, file, identity });
}

function isKeystore(name: string): boolean {
  return pkcs12Extensions.includes(posix.extname(name).toLowerCase());
}

function stemOf(name: string): string {
  return name.slice(0, name.length - posix.extname(name).length);
}

/** The text of a certificate file, without a key that it may hold too. */
export function certificatesOf(content: FileContent): string {
  return withoutKeys(content.bytes.toString('latin1'));
}

/** The first line of a passphrase file: editors and `echo` end it with a line feed that is not part of it. */
export function passphraseOf(content: FileContent): Secret {
  return new Secret(content.bytes.toString('utf8').split(/\r?\n/, 1)[0] ?? '');
}

function isAuthority(pem: string): boolean {
  try {
    return new X509Certificate(pem).ca;
  } catch {
    return false;
  }
}
