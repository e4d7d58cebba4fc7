import {
  type IdentityParcel,
  packBundle,
  packIdentity,
  type TrustBundle,
  type TrustMaterial,
  unpackBundle,
  unpackIdentity,
  type ValidatedIdentity,
} from '../certificates/index.ts';
import { SwivelError } from '../errors.ts';
import { LayeredMap } from '../files/index.ts';
import type { Generation, Target } from '../tls/index.ts';

/** What leads from one generation to the next: only what differs travels. Identities go ahead, in parcels of bounded size. */
export interface Change {
  /** The number of the generation that it starts from; null: from nothing. */
  readonly base: number | null;
  readonly number: number;
  /** Milliseconds since 1970, by which it was decided who serves a name. */
  readonly now: number;
  readonly removed: readonly string[];
  readonly canariesRemoved: readonly string[];
  readonly bundles: readonly TrustMaterial[];
  readonly bundlesRemoved: readonly string[];
  readonly ticketKeys: Uint8Array;
}

/** An identity on its way, and what it is for. */
export interface Delivery {
  readonly role: 'served' | 'canary';
  readonly identity: IdentityParcel;
}

/** What a generation consists of, as far as it travels. */
export type Contents = Pick<Generation, 'number' | 'served' | 'canaries' | 'bundles'>;

/** Identities that are packed into one message: some hundred kilobytes, which are written within a few milliseconds. */
const parcelSize = 128;

/**
 * What leads from one generation to another.
 * @param before null: nothing
 * @param ticketKeys those in effect afterwards
 * @param now milliseconds since 1970
 */
export function changeBetween(before: Contents | null, after: Contents, ticketKeys: Buffer, now: number): Change {
  return {
    base: before?.number ?? null,
    number: after.number,
    now,
    removed: missing(before?.served, after.served),
    canariesRemoved: missing(before?.canaries, after.canaries),
    bundles: [...after.bundles.values()]
      .filter(({ id, fingerprint }) => before?.bundles.get(id)?.fingerprint !== fingerprint)
      .map(packBundle),
    bundlesRemoved: missing(before?.bundles, after.bundles),
    ticketKeys,
  };
}

/** The identities that a change brings, a few at a time. Of thousands only those are looked at that may differ, where that is known. */
export function* deliveriesBetween(before: Contents | null, after: Contents): Iterable<Delivery[]> {
  let parcel: Delivery[] = [];
  for (const role of ['served', 'canary'] as const) {
    const [known, wanted] = role === 'served' ? [before?.served, after.served] : [before?.canaries, after.canaries];
    for (const id of (known && LayeredMap.differences(known, wanted)) ?? wanted.keys()) {
      const identity = wanted.get(id)?.identity;
      if (!identity || known?.get(id)?.identity === identity) continue;
      parcel.push({ role, identity: packIdentity(identity) });
      if (parcel.length < parcelSize) continue;
      yield parcel;
      parcel = [];
    }
  }
  if (parcel.length > 0) yield parcel;
}

/**
 * The generation that a change makes of the one that there is.
 * @param deliveries what came ahead of it
 * @throws SwivelError INTERNAL when it starts from another generation
 */
export function applyChange(current: Contents, change: Change, deliveries: readonly Delivery[]): Target {
  const { base, number, ticketKeys } = change;
  if (base !== null && base !== current.number) {
    throw new SwivelError('INTERNAL', `the change starts from generation ${base}, not from ${current.number}`);
  }
  const from = base === null ? null : current;
  const served = identitiesOf(from?.served, change.removed);
  const canaries = identitiesOf(from?.canaries, change.canariesRemoved);
  for (const { role, identity } of deliveries) {
    const received = unpackIdentity(identity);
    (role === 'served' ? served : canaries).set(received.id, received);
  }
  const bundles = new Map<string, TrustBundle>(from?.bundles);
  for (const id of change.bundlesRemoved) bundles.delete(id);
  for (const material of change.bundles) bundles.set(material.id, unpackBundle(material));
  return {
    identities: [...served.values()],
    canaries: [...canaries.values()],
    bundles: [...bundles.values()],
    ticketKeys: Buffer.from(ticketKeys),
    number,
  };
}

function missing<T extends object>(
  before: ReadonlyMap<string, T> | undefined,
  after: ReadonlyMap<string, T>,
): string[] {
  if (!before) return [];
  const doubtful = LayeredMap.differences(before, after) ?? before.keys();
  return [...doubtful].filter((id) => before.has(id) && !after.has(id));
}

function identitiesOf(
  known: ReadonlyMap<string, { readonly identity: ValidatedIdentity }> | undefined,
  removed: readonly string[],
): Map<string, ValidatedIdentity> {
  const identities = new Map([...(known ?? [])].map(([id, { identity }]) => [id, identity]));
  for (const id of removed) identities.delete(id);
  return identities;
}
