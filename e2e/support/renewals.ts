import '../../test/support/reflect-metadata.ts';
import * as x509 from '@peculiar/x509';
import { type Authority, createAuthority, Leaf } from '../../test/support/pki.ts';
import { sign } from '../../test/support/sign.ts';

/** What is renewed: every call of the result gives what comes next. */
export type Renewal = (issuer: Issuer, host: string) => Promise<() => Promise<Leaf>>;

/** Who issues the certificates of a test. */
export interface Issuer {
  /** The authority that clients trust. */
  readonly root: Authority;
  /** Signs the leaves. */
  readonly intermediate: Authority;
  /** The certificate of `root` by another root, as an old root vouches for a new one. */
  readonly crossPem: string;
}

export async function createIssuer(): Promise<Issuer> {
  const root = await createAuthority();
  const older = await createAuthority();
  const { keyCertSign, cRLSign } = x509.KeyUsageFlags;
  const crossPem = await sign({
    subject: root.subject,
    keys: root.keys,
    issuer: older,
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 86_400_000),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
    ],
  });
  return { root, intermediate: await root.intermediate(), crossPem };
}

/** A new certificate with a new key each time. */
export const anew: Renewal =
  async ({ intermediate }, host) =>
  () =>
    intermediate.issue({ names: [host] });

/** Two certificates, each with its own key, in turn. */
export const inTurn: Renewal = async ({ intermediate }, host) => {
  const leaves = [await intermediate.issue({ names: [host] }), await intermediate.issue({ names: [host] })];
  return alternately(leaves);
};

/** One certificate and one key for ever; its chain ends at the root, or goes on to the older one by a cross-signed one. */
export const chainOnly: Renewal = async ({ intermediate, crossPem }, host) => {
  const leaf = await intermediate.issue({ names: [host] });
  return alternately([leaf, new Leaf(leaf.certificatePem, intermediate.chainPem + crossPem, leaf.keys)]);
};

function alternately(leaves: readonly Leaf[]): () => Promise<Leaf> {
  let turns = 0;
  return async () => leaves[turns++ % leaves.length] as Leaf;
}
