import { messageOf, SwivelError } from '../errors.ts';
import { Secret } from './secret.ts';
import { type TrustBundle, validateBundle } from './trust/bundle.ts';
import type { TrustMaterial, ValidatedIdentity } from './types.ts';

/**
 * A validated identity as plain data, to be handed to another process of the same Swivel. Its key is in the clear: for a private channel,
 * and for nothing else.
 */
export interface IdentityParcel {
  readonly facts: Omit<ValidatedIdentity, 'keyPem'>;
  readonly key: string;
}

export function packIdentity(identity: ValidatedIdentity): IdentityParcel {
  const { id, source, files, names, fingerprint, leaf, chainPem, keyPem } = identity;
  const facts = { id, source, files, names, fingerprint, leaf, chainPem } as Omit<ValidatedIdentity, 'keyPem'>;
  return { facts, key: keyPem.reveal() };
}

/** The identity of a parcel. It was validated by who packed it, which cannot be anybody but the primary process. */
export function unpackIdentity({ facts, key }: IdentityParcel): ValidatedIdentity {
  return Object.freeze({ ...facts, keyPem: new Secret(key) }) as ValidatedIdentity;
}

/** What a trust bundle was made of, as plain data. */
export function packBundle(bundle: TrustBundle): TrustMaterial {
  return bundle.material;
}

/** The trust bundle of a parcel. @throws SwivelError INTERNAL when it is no longer whole */
export function unpackBundle(material: TrustMaterial): TrustBundle {
  const files = material.files.map(({ path, bytes }) => ({ path, bytes: Buffer.from(bytes) }));
  const { bundle, findings } = validateBundle({ ...material, files });
  if (bundle) return bundle;
  const why = findings.map(({ message }) => message).join('; ');
  throw new SwivelError('INTERNAL', `the trust bundle ${material.id} did not arrive whole: ${messageOf(why)}`);
}
