import { readFile } from 'node:fs/promises';
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument, type Range } from 'yaml';
import type { z } from 'zod';
import { type Place, SwivelError, systemCode } from '../errors.ts';
import { located, type PlaceOf, resolveReferences } from './references.ts';
import { type Config, configSchema, jsonSchema } from './schema.ts';
import { nearest } from './suggest.ts';

/** What the command line and the environment say, under the names of the flags. */
export interface Overrides {
  readonly listen?: readonly string[];
  readonly admin?: string;
  readonly certs?: readonly string[];
  readonly upstream?: readonly string[];
  readonly workers?: string;
  readonly drainTimeout?: string;
  readonly logLevel?: string;
  readonly logFormat?: string;
  /** Of the flags that were not given but come from the environment: the variable. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** What an image or a package says instead of the built-in defaults; flags, environment and file all win over it. */
export type Defaults = Pick<Overrides, 'certs' | 'admin'>;

interface SourceFile {
  readonly path: string;
  readonly document: Document;
  readonly lines: LineCounter;
}

/**
 * Reads the configuration: the file first, then what the command line and the environment say over it.
 * @param path of the YAML file; none when undefined
 * @param defaults hold where nobody says anything
 * @throws SwivelError CONFIG_UNREADABLE, CONFIG_SYNTAX, CONFIG_UNKNOWN_KEY, CONFIG_INVALID, CONFIG_UNSUPPORTED
 */
export async function loadConfig(
  path: string | undefined,
  overrides: Overrides,
  defaults: Defaults = {},
): Promise<Config> {
  const file = path === undefined ? null : await readDocument(path);
  const content = file ? contentOf(file) : {};
  if (!isMapping(content)) {
    throw new SwivelError('CONFIG_INVALID', 'the configuration is not a mapping', { place: { file: path ?? '' } });
  }
  const { merged, flags } = overlay(content, overrides, defaults);
  const result = configSchema.safeParse(merged);
  const place = (keys: PropertyKey[]) => placeOf(keys, file, flags);
  if (!result.success) throw explain(result.error, place);
  return resolveReferences(result.data, place);
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

async function readDocument(path: string): Promise<SourceFile> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    const message = `${path} cannot be read (${systemCode(error) ?? 'unknown error'})`;
    throw new SwivelError('CONFIG_UNREADABLE', message, { place: { file: path }, cause: error });
  });
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [problem] = document.errors;
  if (problem) {
    const { line } = lines.linePos(problem.pos[0]);
    throw new SwivelError('CONFIG_SYNTAX', problem.message, { place: { file: path, line } });
  }
  return { path, document, lines };
}

function contentOf({ path, document }: SourceFile): unknown {
  try {
    return document.toJS() ?? {};
  } catch {
    // What the library says quotes the file, which may hold anything.
    const message = 'an alias has no anchor, or aliases expand without end';
    throw new SwivelError('CONFIG_SYNTAX', message, { place: { file: path } });
  }
}

/** Puts overrides over the content of the file. @returns with the flag that each top-level setting came from */
function overlay(content: Record<string, unknown>, overrides: Overrides, defaults: Defaults) {
  const merged: Record<string, unknown> = { ...content };
  if (defaults.certs && merged['certificates'] === undefined) {
    merged['certificates'] = defaults.certs.map((path) => ({ path }));
  }
  const { admin = {} } = merged;
  if (defaults.admin !== undefined && isMapping(admin)) merged['admin'] = { address: defaults.admin, ...admin };
  const flags = new Map<string, string>();
  const set = (flag: string, keys: readonly [string, string?], value: unknown) => {
    if (value === undefined) return;
    const [key, inner] = keys;
    flags.set(inner === undefined ? key : `${key}.${inner}`, overrides.variables?.[flag] ?? flag);
    const { [key]: before = {} } = merged;
    if (inner === undefined) merged[key] = value;
    // What is not a mapping stays, for the schema to refuse.
    else if (isMapping(before)) merged[key] = { ...before, [inner]: value };
  };
  if (overrides.listen && hasClientRules(content['listeners'])) {
    const message = 'the listeners of the file ask for client certificates, and --listen would open others that do not';
    throw new SwivelError('CONFIG_UNSUPPORTED', message, {
      remedy: 'change the addresses in the file, and leave out --listen',
    });
  }
  set(
    '--listen',
    ['listeners'],
    overrides.listen?.map((address) => ({ address })),
  );
  set('--admin', ['admin', 'address'], overrides.admin);
  set(
    '--certs',
    ['certificates'],
    overrides.certs?.map((path) => ({ path })),
  );
  if (overrides.upstream) {
    set('--upstream', ['upstreams'], { default: { targets: overrides.upstream } });
    set('--upstream', ['routes'], [{ upstream: 'default' }]);
  }
  set('--drain-timeout', ['drain', 'timeout'], overrides.drainTimeout);
  set('--log-level', ['log', 'level'], overrides.logLevel);
  set('--log-format', ['log', 'format'], overrides.logFormat);
  const { workers } = overrides;
  set('--workers', ['workers'], workers === undefined || workers === 'auto' ? workers : Number(workers));
  return { merged, flags };
}

function hasClientRules(listeners: unknown): boolean {
  return Array.isArray(listeners) && listeners.some((one) => isMapping(one) && 'clientCertificates' in one);
}

function placeOf(
  keys: readonly PropertyKey[],
  file: SourceFile | null,
  flags: ReadonlyMap<string, string>,
): Place | undefined {
  const [first, second] = keys.map(String);
  const flag = flags.get(first ?? '') ?? flags.get(`${first}.${second}`);
  if (flag !== undefined) return { file: flag };
  if (!file) return undefined;
  for (let length = keys.length; length >= 0; length -= 1) {
    const range = rangeAt(file.document, keys.slice(0, length));
    if (range) return { file: file.path, line: file.lines.linePos(range[0]).line };
  }
  return { file: file.path };
}

/** Where a setting stands: its key when it has one, for a value may begin on a later line. */
function rangeAt(document: Document, keys: readonly PropertyKey[]): Range | null | undefined {
  const parent = document.getIn(keys.slice(0, -1), true);
  const pair = isMap(parent) ? parent.items.find(({ key }) => isScalar(key) && key.value === keys.at(-1)) : undefined;
  const node = pair ? pair.key : document.getIn(keys, true);
  return isNode(node) ? node.range : null;
}

function explain(error: z.ZodError, place: PlaceOf): SwivelError {
  // A mistyped key comes first: it is why another one is missing.
  const issue = error.issues.find(({ code }) => code === 'unrecognized_keys') ?? error.issues[0];
  if (!issue) return new SwivelError('CONFIG_INVALID');
  const setting = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const full = setting === '' ? key : `${setting}.${key}`;
    const known = knownKeys(issue.path);
    const near = nearest(key, known);
    const remedy = near ? `did you mean "${near}"?` : `known keys here: ${known.join(', ')}`;
    return new SwivelError(
      'CONFIG_UNKNOWN_KEY',
      `there is no setting "${full}"`,
      located(place([...issue.path, key]), remedy),
    );
  }
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) {
    const flag = { certificates: '--certs DIR', upstreams: '--upstream URL' }[setting];
    const remedy = flag ? `give ${flag}, or ${setting} in the file of --config` : 'add it';
    return new SwivelError('CONFIG_INVALID', `${setting} is missing`, located(place(issue.path), remedy));
  }
  return new SwivelError('CONFIG_INVALID', `${setting}: ${issue.message}`, located(place(issue.path)));
}

interface SchemaNode {
  readonly properties?: Record<string, SchemaNode>;
  readonly items?: SchemaNode;
  readonly additionalProperties?: SchemaNode;
}

/** The keys that the schema knows at a place. */
function knownKeys(path: readonly PropertyKey[]): string[] {
  let node: SchemaNode | undefined = jsonSchema() as SchemaNode;
  for (const key of path) {
    node = typeof key === 'number' ? node?.items : (node?.properties?.[String(key)] ?? node?.additionalProperties);
  }
  return Object.keys(node?.properties ?? {});
}
