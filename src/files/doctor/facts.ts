import type { Followed } from './follow.ts';
import type { Mount } from './mount-table.ts';

/** A configured path, and where it leads. */
export interface Place extends Followed {
  readonly path: string;
}

/** A link at or below a configured path. */
export interface LinkFact extends Followed {
  readonly link: string;
  /** What the link says. */
  readonly target: string;
  /** The configured path. */
  readonly place: Place;
}

/** A private key that every user can read. */
export interface ExposedKey {
  readonly file: string;
  /** Permission bits. */
  readonly mode: number;
  /** Below a `..data` link: Kubernetes gave it its mode. */
  readonly projected: boolean;
}

/** What was found at and below the configured paths. Where time or patience ran out, a part of it. */
export interface TreeFacts {
  readonly links: readonly LinkFact[];
  readonly exposedKeys: readonly ExposedKey[];
  /** Directories that are watched, without links. */
  readonly directories: ReadonlySet<string>;
}

/** A mount at, above or below a configured path. */
export interface MountFact {
  readonly mount: Mount;
  /** The configured path, when the mount holds all of it. */
  readonly path: string | null;
  readonly kind: 'file' | 'directory' | 'unknown';
  readonly answers: boolean;
}

/** What the system allows of inotify; null where it does not tell. */
export interface InotifyLimits {
  readonly watches: number | null;
  readonly instances: number | null;
}

/** A certificate with its dates; milliseconds since 1970. */
export interface DatedCertificate {
  readonly file: string;
  readonly notBefore: number;
  /** When the file was last written. */
  readonly modified: number;
}
