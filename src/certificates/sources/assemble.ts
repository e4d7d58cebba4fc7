import { X509Certificate } from 'node:crypto';
import { posix } from 'node:path';
import { type Finding, finding } from '../../errors.ts';
import type { FileContent, FileFault, Snapshot } from '../../files/index.ts';
import { isCertificateLabel, isKeyLabel, parsePem, withoutKeys } from '../pem.ts';
import { Secret } from '../secret.ts';
import type { IdentityMaterial } from '../types.ts';

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

export interface Assembled {
  readonly identities: readonly IdentityMaterial[];
  readonly findings: readonly Finding[];
}

/**
 * Makes identities of the files of a directory by the naming conventions of Kubernetes, certbot, HAProxy and plain
 * `NAME.crt` + `NAME.key`. Pure.
 */
export function assemble(source: string, snapshot: Pick<Snapshot, 'files' | 'faults'>): Assembled {
  const directories = new Map<string, Set<string>>();
  for (const name of [...snapshot.files.keys(), ...snapshot.faults.keys()]) {
    const directory = posix.dirname(name);
    const names = directories.get(directory) ?? new Set();
    directories.set(directory, names.add(posix.basename(name)));
  }
  const assembly = new Assembly(source, snapshot);
  for (const [directory, names] of directories) assembly.directory(directory, names);
  return assembly;
}

class Assembly implements Assembled {
  readonly identities: IdentityMaterial[] = [];
  readonly findings: Finding[] = [];
  readonly #source: string;
  readonly #snapshot: Pick<Snapshot, 'files' | 'faults'>;

  constructor(source: string, snapshot: Pick<Snapshot, 'files' | 'faults'>) {
    this.#source = source;
    this.#snapshot = snapshot;
  }

  directory(directory: string, names: Set<string>): void {
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
    for (const name of rest) {
      const extension = posix.extname(name);
      const stem = name.slice(0, name.length - extension.length);
      if (pkcs12Extensions.includes(extension.toLowerCase())) this.#pkcs12(below(name));
      else if (extension === '.key') this.#pair(stem, name, names, below);
      else if (certificateExtensions.includes(extension) && !names.has(`${stem}.key`))
        this.#alone(stem, name, names, below);
    }
    for (const [name, fault] of this.#snapshot.faults) {
      // A sub-directory that cannot be listed; a file's own fault is reported with its identity.
      if (posix.dirname(name) === directory && !isWantedName(name)) this.#fault(name, fault);
    }
  }

  #pair(stem: string, key: string, names: Set<string>, below: (name: string) => string): void {
    const certificate = certificateExtensions.map((extension) => `${stem}${extension}`).find((name) => names.has(name));
    if (!certificate) {
      this.#finding('CERT_MISSING', below(stem), below(key));
      return;
    }
    this.#identity(below(stem), [below(certificate)], below(key), this.#passphrase(names, below, [stem]));
  }

  /** A certificate file without a key file: both in one (HAProxy), or an authority's certificate, or a mistake. */
  #alone(stem: string, name: string, names: Set<string>, below: (name: string) => string): void {
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
      if (!isAuthority(first.pem)) this.#finding('KEY_MISSING', below(stem), below(name));
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
    this.identities.push({
      id,
      source: this.#source,
      files: { certificate: (contents[0] as FileContent).path, key: keyContent.path },
      certificatePem: contents.map((content) => certificatesOf(content as FileContent)).join('\n'),
      keyPem: new Secret(keyContent.bytes.toString('latin1')),
      ...(secret ? { passphrase: passphraseOf(secret) } : {}),
    });
  }

  #passphrase(names: Set<string>, below: (name: string) => string, stems: readonly string[]): string | undefined {
    for (const stem of stems) {
      const name = passphraseExtensions.map((extension) => `${stem}${extension}`).find((n) => names.has(n));
      if (name) return below(name);
    }
    return undefined;
  }

  #content(name: string, identity: string): FileContent | undefined {
    const fault = this.#snapshot.faults.get(name);
    if (fault) {
      this.findings.push(finding(fault.code, 'error', { message: fault.message, file: fault.path, identity }));
    }
    return this.#snapshot.files.get(name);
  }

  #pkcs12(name: string): void {
    const id = name.slice(0, name.length - posix.extname(name).length);
    this.#finding('KEYSTORE_UNREADABLE', id, name);
  }

  #fault(name: string, { code, message, path }: FileFault): void {
    this.findings.push(finding(code, 'error', { message, file: path, identity: name }));
  }

  #finding(code: Finding['code'], identity: string, name: string): void {
    const file = this.#snapshot.files.get(name)?.path ?? this.#snapshot.faults.get(name)?.path ?? name;
    this.findings.push(finding(code, 'error', { file, identity }));
  }
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
