import type { Leaf } from '../../support/pki.ts';

/** What a peer is given: a directory of its own, where to listen and what to forward to. */
export interface Setting {
  directory: string;
  port: number;
  upstreamPort: number;
  /** Name of the site, in SNI and certificate. */
  servername: string;
  /** The one PEM file (key, then chain) that every peer is told to serve, so that a rotation is one rename. */
  certificateFile: string;
  /** Swivel only: processes that serve, each of which logs when it serves a new generation. */
  workers?: number | undefined;
  /** The one processor it may run on; all of them when left out. */
  cpu?: number | undefined;
  /** Swivel only: port of its admin endpoints; none when left out. */
  adminPort?: number | undefined;
  /** Writes a line for each request into a file. */
  accessLog?: boolean | undefined;
  /** Serves every certificate of the directory that `certificateFile` is in, not that one file. */
  wholeDirectory?: boolean | undefined;
}

export interface RunningPeer {
  /** The process that was started; its children are found by their parent. */
  readonly pid: number;
  /** What has to be done after the file was replaced; absent for a proxy that sees it by itself. */
  announce?: (leaf: Leaf) => Promise<void>;
  /** Milliseconds between the first and the last worker to serve it, for each rotation; absent with one process. */
  spreads?: () => Promise<number[]>;
  stop(): Promise<void>;
}

export interface Peer {
  readonly name: string;
  /** How its certificate is changed, for the table. */
  readonly how: string;
  /** The version, or why it cannot take part. */
  find(): Promise<{ version: string } | { skipped: string }>;
  start(setting: Setting): Promise<RunningPeer>;
}
