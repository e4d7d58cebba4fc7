import { randomBytes } from 'node:crypto';
import { type IdentityMaterial, Secret, type ValidatedIdentity, validate } from '../../../src/certificates/index.ts';
import { ContextStore, type ContextStoreOptions, type Target } from '../../../src/tls/index.ts';
import { type Authority, createAuthority, type Leaf } from '../../support/pki.ts';

export const hour = 3_600_000;

let shared: Promise<Authority> | undefined;

/** One authority for all tests of a process. */
export function authority(): Promise<Authority> {
  shared ??= createAuthority();
  return shared;
}

/** What a source would hand on for a leaf. */
export function materialOf(id: string, leaf: Pick<Leaf, 'chainPem' | 'keyPem'>, source = 'test'): IdentityMaterial {
  return {
    id,
    source,
    files: { certificate: `${id}.crt`, key: `${id}.key` },
    certificatePem: leaf.chainPem,
    keyPem: new Secret(leaf.keyPem),
  };
}

/** A leaf, validated. */
export function identityOf(id: string, leaf: Leaf, source = 'test'): ValidatedIdentity {
  const { identity, findings } = validate(materialOf(id, leaf, source));
  if (!identity) throw new Error(JSON.stringify(findings));
  return identity;
}

/** A fresh leaf of the shared authority, validated. */
export async function freshIdentity(id: string, names: readonly string[] = [`${id}.test`]): Promise<ValidatedIdentity> {
  return identityOf(id, await (await authority()).issue({ names }));
}

/** A leaf that passes validation and that the TLS library refuses: the key of its intermediate is too short. */
export async function refusedLeaf(names: readonly string[]): Promise<Leaf> {
  const intermediate = await (await authority()).intermediate({ keyType: 'rsa-1024' });
  return intermediate.issue({ names });
}

/** Serves exactly these. @returns the fingerprints that are no longer served */
export async function serve(store: ContextStore, ...identities: ValidatedIdentity[]): Promise<ReadonlySet<string>> {
  return (await store.prepare(targetOf(identities), Date.now())).commit();
}

/** A store that serves these. */
export async function storeOf(
  identities: readonly ValidatedIdentity[],
  options: Partial<ContextStoreOptions> = {},
): Promise<ContextStore> {
  const store = new ContextStore({ unknownName: 'default', ...options });
  await serve(store, ...identities);
  return store;
}

const ticketKeys = randomBytes(48);

/** What a generation is made of that holds nothing but identities, with the same ticket keys each time. */
export function targetOf(identities: readonly ValidatedIdentity[], more: Partial<Target> = {}): Target {
  return { identities, canaries: [], bundles: [], ticketKeys, ...more };
}
