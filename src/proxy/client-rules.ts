import { normalizeName } from '../certificates/index.ts';
import type { ClientTrust, Connection } from '../connections/index.ts';
import { type Admitted, type Refusal, refuse } from './request.ts';

/** Whether a host asks for client certificates, and whom it trusts. */
export type ClientRule = { readonly mode: 'off' } | { readonly mode: 'optional' | 'required'; readonly trust: string };

/** The rules of one listener. */
export interface ClientRulesOptions {
  readonly fallback: ClientRule;
  /** By host name, or `*.` for one label. */
  readonly hosts: ReadonlyMap<string, ClientRule>;
}

/** Whom a listener lets in to which host. Asked for each request: one connection may carry requests for several hosts. */
export class ClientRules {
  readonly #fallback: ClientRule;
  readonly #hosts: ReadonlyMap<string, ClientRule>;
  /** Whether clients are asked for a certificate at all; Node can do that for a listener only, not for a host. */
  readonly asks: boolean;
  /** The names of the bundles that any of them goes by. */
  readonly bundles: readonly string[];

  constructor({ fallback, hosts }: ClientRulesOptions) {
    this.#fallback = fallback;
    this.#hosts = new Map([...hosts].map(([name, rule]) => [normalizeName(name), rule]));
    const rules = [fallback, ...hosts.values()];
    this.asks = rules.some(({ mode }) => mode !== 'off');
    this.bundles = [...new Set(rules.flatMap((rule) => (rule.mode === 'off' ? [] : [rule.trust])))];
  }

  /** @param host lower case, without trailing dot */
  ruleFor(host: string): ClientRule {
    const dot = host.indexOf('.');
    return this.#hosts.get(host) ?? (dot > 0 ? this.#hosts.get(`*${host.slice(dot)}`) : undefined) ?? this.#fallback;
  }

  /**
   * Whether a connection may send a request to a host. An optional certificate that is not accepted is refused as well: who shows one
   * means to be recognised by it.
   */
  admit(connection: Connection, host: string, trust: ClientTrust): Admitted | Refusal {
    const rule = this.ruleFor(host);
    if (rule.mode === 'off') return { kind: 'admit', certificate: null };
    const { client, serverName } = connection;
    const verdict = client && trust.verdictOn(client, rule.trust);
    if (verdict?.ok) {
      connection.reliesOn(rule.trust);
      return { kind: 'admit', certificate: client };
    }
    if (!client && rule.mode === 'optional') return { kind: 'admit', certificate: null };
    // Made for another host, for which the client chose what to show: on a connection of its own it may choose otherwise.
    if (serverName !== null && serverName !== host) return refuse(421, 'REQUEST_MISDIRECTED');
    if (!verdict) return refuse(403, 'CLIENT_CERTIFICATE_REQUIRED');
    return { ...refuse(403, 'CLIENT_CERTIFICATE_REJECTED'), client: verdict };
  }
}

/** Lets everybody in. */
export const openToAll = new ClientRules({ fallback: { mode: 'off' }, hosts: new Map() });
