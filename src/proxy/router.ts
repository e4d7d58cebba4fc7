import { normalizeName } from '../certificates/index.ts';

export interface RouteOptions {
  /** Host names, or `*.` for one label; every host when left out. */
  readonly hosts?: readonly string[];
  /** A prefix of whole path segments; every path when left out. */
  readonly path?: string;
  readonly upstream: string;
}

interface Route {
  readonly exact: ReadonlySet<string>;
  readonly wildcard: ReadonlySet<string>;
  readonly anyHost: boolean;
  readonly prefix: string;
  readonly upstream: string;
}

/** Finds the upstream of a request; the first route that matches wins. */
export class Router {
  readonly #routes: readonly Route[];

  constructor(routes: readonly RouteOptions[]) {
    this.#routes = routes.map(({ hosts, path, upstream }) => {
      const names = (hosts ?? []).map(normalizeName);
      return {
        exact: new Set(names.filter((name) => !name.startsWith('*.'))),
        wildcard: new Set(names.filter((name) => name.startsWith('*.')).map((name) => name.slice(1))),
        anyHost: hosts === undefined,
        prefix: (path ?? '/').replace(/\/$/, ''),
        upstream,
      };
    });
  }

  /**
   * @param host lower case, without port
   * @param target origin-form, with the query
   * @returns the name of an upstream, or null when no route matches
   */
  match(host: string, target: string): string | null {
    const dot = host.indexOf('.');
    const suffix = dot > 0 ? host.slice(dot) : '';
    for (const route of this.#routes) {
      if (!route.anyHost && !route.exact.has(host) && !route.wildcard.has(suffix)) continue;
      if (isBelow(target, route.prefix)) return route.upstream;
    }
    return null;
  }
}

function isBelow(target: string, prefix: string): boolean {
  if (!target.startsWith(prefix)) return false;
  const next = target[prefix.length];
  return next === undefined || next === '/' || next === '?';
}
