import type { ClientHeaderNames } from './client-headers.ts';

/**
 * What a field of a request means to a proxy.
 *
 * - `own`: the application's, passed on
 * - `claim`: about the way a request took: written by Swivel, and believed only of peers that are trusted
 * - `dropped`: concerns one connection only (RFC 9110 §7.6.1), or goes no further for another reason
 * - `reserved`: Swivel alone writes it, or one that upstream might take for it: nobody is believed in it
 */
export type FieldKind =
  | 'own'
  | 'claim'
  | 'dropped'
  | 'reserved'
  | 'host'
  | 'content-length'
  | 'transfer-encoding'
  | 'expect'
  | 'connection'
  | 'cookie'
  | 'te';

/** Fields that concern one connection only (RFC 9110 §7.6.1), beside those that `Connection` names. */
export const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/**
 * Fields of a request that go no further either: Host is written anew, Expect was answered for, trailers are not passed on, and
 * a CGI program takes `Proxy` for its own HTTP_PROXY.
 */
const endsHere = new Set(['host', 'expect', 'trailer', 'proxy']);

const kindsOfTheirOwn = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'expect',
  'connection',
  'cookie',
  'te',
]);

/** The fields that Swivel writes by its configuration; lower case. */
export interface OwnNames {
  /** The field that tells upstream which certificate the client was given; none when null. */
  readonly certificateHeader: string | null;
  /** The fields that tell upstream the verified certificate of the client. */
  readonly clientHeaders: ClientHeaderNames;
}

/** Names that are remembered; those of one service are few, and who sends others all the time only pays for it. */
const remembered = 2000;

/** Tells what the fields of requests mean, by their names, in any case. */
export class FieldNames {
  readonly #own: OwnNames;
  readonly #known = new Map<string, FieldKind>();

  constructor(own: OwnNames) {
    this.#own = own;
  }

  kindOf(name: string): FieldKind {
    return this.#known.get(name) ?? this.#learn(name);
  }

  #learn(name: string): FieldKind {
    const kind = this.#judge(name.toLowerCase());
    if (this.#known.size < remembered) this.#known.set(name, kind);
    return kind;
  }

  #judge(name: string): FieldKind {
    if (kindsOfTheirOwn.has(name)) return name as FieldKind;
    if (hopByHop.has(name) || endsHere.has(name)) return 'dropped';
    if (this.#isReserved(name)) return 'reserved';
    if (isClaim(name)) return 'claim';
    if (!name.includes('_')) return 'own';
    // It becomes one of ours where `_` and `-` are the same, as in CGI and what followed it (RFC 3875 §4.1.18).
    const plain = name.replaceAll('_', '-');
    return isClaim(plain) || hopByHop.has(plain) || this.#isReserved(plain) ? 'reserved' : 'own';
  }

  #isReserved(name: string): boolean {
    const { certificateHeader, clientHeaders } = this.#own;
    return name === certificateHeader || Object.values(clientHeaders).includes(name);
  }
}

/** @param name lower case */
function isClaim(name: string): boolean {
  return name === 'forwarded' || name === 'x-request-id' || name.startsWith('x-forwarded-');
}

const known = new WeakMap<OwnNames, FieldNames>();

/** The names for a configuration, made once. */
export function fieldNamesFor(own: OwnNames): FieldNames {
  let names = known.get(own);
  if (!names) {
    names = new FieldNames(own);
    known.set(own, names);
  }
  return names;
}
