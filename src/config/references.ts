import { normalizeName } from '../certificates/index.ts';
import { type Place, SwivelError } from '../errors.ts';
import type { Config } from './schema.ts';
import { nearest } from './suggest.ts';

/** Where a setting stands. */
export type PlaceOf = (keys: PropertyKey[]) => Place | undefined;

/**
 * Checks what the schema cannot say: names that have to exist, settings that cannot be honoured. Fills in what there is one way to fill in:
 * the only route, the only trust bundle.
 * @throws SwivelError CONFIG_INVALID
 */
export function resolveReferences(config: Config, place: PlaceOf): Config {
  const names = Object.keys(config.upstreams);
  const [only, ...more] = names;
  if (!config.routes && more.length > 0) {
    const message = `there are several upstreams (${names.join(', ')}) and no routes`;
    throw new SwivelError('CONFIG_INVALID', message, located(place(['upstreams']), 'add routes'));
  }
  const routes = config.routes ?? [{ upstream: only ?? '' }];
  for (const [i, { upstream }] of routes.entries()) {
    const keys = ['routes', i, 'upstream'];
    if (!names.includes(upstream)) throw unknownName(keys, 'upstream', upstream, names, place);
  }
  const bundles = Object.keys(config.trust);
  const { anchors } = config.gate;
  if (anchors !== undefined && !bundles.includes(anchors)) {
    throw unknownName(['gate', 'anchors'], 'trust bundle', anchors, bundles, place);
  }
  checkHeaders(config.proxy, place);
  const listeners = config.listeners.map((listener, i) => withTrust(listener, i, bundles, place));
  return { ...config, routes, listeners };
}

/** Fields without which a request is another one, or none: nothing can be told in them. */
const notOurs = new Set(['connection', 'content-length', 'expect', 'host', 'te', 'transfer-encoding', 'upgrade']);

/** Each header that tells of a certificate has a name of its own. */
function checkHeaders({ certificateHeader, clientCertificateHeaders }: Config['proxy'], place: PlaceOf): void {
  const seen = new Set(notOurs);
  const own = Object.entries(clientCertificateHeaders).map(
    ([key, name]) => [['clientCertificateHeaders', key], name] as const,
  );
  for (const [keys, name] of [[['certificateHeader'], certificateHeader] as const, ...own]) {
    if (name === undefined) continue;
    if (seen.has(name.toLowerCase())) {
      const where = ['proxy', ...keys];
      const message = `${where.join('.')}: the header ${name} is used for something else`;
      throw new SwivelError('CONFIG_INVALID', message, located(place(where), 'choose another name'));
    }
    seen.add(name.toLowerCase());
  }
}

type Listener = Config['listeners'][number];
type Rule = Omit<NonNullable<Listener['clientCertificates']>, 'hosts'>;

/** A listener whose rules all name the trust bundle they check by. */
function withTrust(listener: Listener, i: number, bundles: readonly string[], place: PlaceOf): Listener {
  const { clientCertificates } = listener;
  if (!clientCertificates) return listener;
  const complete = (rule: Rule, keys: PropertyKey[]): Rule => {
    if (rule.mode === 'off') return rule;
    const trust = rule.trust ?? (bundles.length === 1 ? bundles[0] : undefined);
    if (trust === undefined) {
      const remedy = bundles.length === 0 ? 'define a bundle under trust' : `one of: ${bundles.join(', ')}`;
      throw new SwivelError('CONFIG_INVALID', `${keys.join('.')}.trust is missing`, located(place(keys), remedy));
    }
    if (!bundles.includes(trust)) throw unknownName([...keys, 'trust'], 'trust bundle', trust, bundles, place);
    return { ...rule, trust };
  };
  const keys = ['listeners', i, 'clientCertificates'];
  const { hosts, ...fallback } = clientCertificates;
  const seen = new Set<string>();
  for (const host of Object.keys(hosts)) {
    const name = normalizeName(host);
    if (seen.has(name)) {
      const message = `${[...keys, 'hosts', host].join('.')}: there is another rule for ${name}`;
      throw new SwivelError('CONFIG_INVALID', message, located(place([...keys, 'hosts', host]), 'keep one of them'));
    }
    seen.add(name);
  }
  const complemented = Object.entries(hosts).map(
    ([host, rule]) => [host, complete(rule, [...keys, 'hosts', host])] as const,
  );
  return {
    ...listener,
    clientCertificates: { ...complete(fallback, keys), hosts: Object.fromEntries(complemented) },
  };
}

function unknownName(keys: PropertyKey[], kind: string, name: string, known: readonly string[], place: PlaceOf) {
  const near = nearest(name, known);
  const others =
    known.length === 0 ? `define it under ${kind === 'upstream' ? 'upstreams' : 'trust'}` : known.join(', ');
  const remedy = near ? `did you mean "${near}"?` : known.length === 0 ? others : `there are: ${others}`;
  const message = `${keys.map(String).join('.')}: there is no ${kind} "${name}"`;
  return new SwivelError('CONFIG_INVALID', message, located(place(keys), remedy));
}

/** What an error is given beside its message. */
export function located(place: Place | undefined, remedy?: string) {
  return { ...(place ? { place } : {}), ...(remedy === undefined ? {} : { remedy }) };
}
