import type { X509Certificate } from 'node:crypto';
import type { TrustAnchor, TrustBundle } from './bundle.ts';
import type { CertificateFacts } from './certificate.ts';

/** A certificate that a client sent. */
export interface Presented {
  readonly certificate: X509Certificate;
  readonly facts: CertificateFacts;
}

/** A way up from a leaf: the leaf, intermediates, and the anchor it ends in. */
export interface Path {
  readonly certificates: readonly [Presented, ...Presented[]];
  readonly anchor: TrustAnchor;
}

/** Certificates of a path, leaf and anchor among them. */
const longestPath = 8;
/** Steps of the search: no honest client needs a tenth of them, and a maze of certificates ends here. */
const mostSteps = 256;

/**
 * Finds ways from a leaf to the anchors of a bundle by names alone, shorter ones first where a certificate has several issuers. A path
 * ends at the first anchor: every path through it asks more than trusting it does. Bounded, whatever certificates are presented.
 */
export function* pathsOf(bundle: TrustBundle, leaf: Presented, intermediates: readonly Presented[]): Generator<Path> {
  const bySubject = Map.groupBy(intermediates, ({ facts }) => facts.subject);
  let steps = 0;
  function* up(path: readonly [Presented, ...Presented[]]): Generator<Path> {
    const issuer = path.at(-1)?.facts.issuer ?? '';
    for (const anchor of bundle.anchors.get(issuer) ?? []) {
      if (++steps > mostSteps) return;
      yield { certificates: path, anchor };
    }
    if (path.length + 2 > longestPath) return;
    for (const next of bySubject.get(issuer) ?? []) {
      if (++steps > mostSteps) return;
      if (!path.includes(next)) yield* up([...path, next]);
    }
  }
  yield* up([leaf]);
}
