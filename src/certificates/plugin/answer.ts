import { isDate } from 'node:util/types';

/** An identity whose shape is right. The key is plain text here: it is about to cross from the process to its host. */
export interface CheckedIdentity {
  readonly id: string;
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly passphrase?: string;
  readonly names?: readonly string[];
}

/** What is wrong with one part of an answer. */
export interface Flaw {
  /** The id of the identity it is about, or `#3` when it has no usable one; absent when it is about none. */
  readonly identity?: string;
  /** `identities[3].keyPem is not a string` */
  readonly message: string;
}

/** An answer of a plug-in: plain data of bounded size. */
export interface CheckedAnswer {
  readonly identities: readonly CheckedIdentity[];
  readonly flaws: readonly Flaw[];
  /** Milliseconds since 1970. */
  readonly askAgainAt?: number;
  /** As the plug-in gave them. */
  readonly watch: readonly string[];
}

/** An answer of which nothing can be used. The message never holds a value of the answer. */
export class AnswerError extends Error {}

/** Identities that an answer may hold. */
export const mostIdentities = 10_000;
const longestId = 200;
const longestPem = 1024 * 1024;
const mostCharacters = 64 * 1024 * 1024;
const mostNames = 1000;
/** RFC 1035 §2.3.4, with the dots. */
const longestName = 253;
const longestPassphrase = 4096;
const mostDirectories = 100;
const longestPath = 4096;
const isoDate = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;

/**
 * Checks what a plug-in answered. An identity that is wrong, a wrong `askAgainAt` and a wrong `watch` are flaws, and the rest
 * goes on.
 * @param now milliseconds since 1970
 * @throws AnswerError when it is no answer at all
 */
export function checkAnswer(answer: unknown, now: number): CheckedAnswer {
  if (!isRecord(answer)) throw new AnswerError(`load() returned ${kindOf(answer)}, not an object`);
  const { identities, askAgainAt, watch } = answer;
  if (!Array.isArray(identities)) throw new AnswerError(`identities is ${kindOf(identities)}, not an array`);
  if (identities.length > mostIdentities) {
    throw new AnswerError(`identities has ${identities.length} entries; the limit is ${mostIdentities}`);
  }
  const flaws: Flaw[] = [];
  const checked = checkIdentities(identities, flaws);
  const flawed = <T>(check: () => T): T | undefined => {
    try {
      return check();
    } catch (error) {
      if (!(error instanceof AnswerError)) throw error;
      flaws.push({ message: error.message });
      return undefined;
    }
  };
  const time = askAgainAt === undefined || askAgainAt === null ? undefined : flawed(() => checkTime(askAgainAt, now));
  const directories = watch === undefined || watch === null ? [] : (flawed(() => checkWatch(watch)) ?? []);
  return { identities: checked, flaws, watch: directories, ...(time === undefined ? {} : { askAgainAt: time }) };
}

function checkIdentities(identities: readonly unknown[], flaws: Flaw[]): CheckedIdentity[] {
  const checked: CheckedIdentity[] = [];
  const ids = new Set<string>();
  let characters = 0;
  for (const [index, value] of identities.entries()) {
    let identity = `#${index}`;
    try {
      const where = `identities[${index}]`;
      if (!isRecord(value)) throw new AnswerError(`${where} is ${kindOf(value)}, not an object`);
      const id = checkId(value['id'], `${where}.id`);
      // Under its number: the id means the one that was there first, right or wrong.
      if (ids.has(id)) throw new AnswerError(`${where}.id is the id of another identity too`);
      ids.add(id);
      identity = id;
      const one = checkIdentity(id, value, where);
      characters += one.certificatePem.length + one.keyPem.length;
      checked.push(one);
    } catch (error) {
      if (!(error instanceof AnswerError)) throw error;
      flaws.push({ identity, message: error.message });
    }
    if (characters > mostCharacters) throw new AnswerError(`identities has more than ${mostCharacters} characters`);
  }
  return checked;
}

function checkId(id: unknown, where: string): string {
  if (typeof id !== 'string') throw new AnswerError(`${where} is ${kindOf(id)}, not a string`);
  if (id === '') throw new AnswerError(`${where} is empty`);
  if (id.length > longestId) throw new AnswerError(`${where} has more than ${longestId} characters`);
  if (/[\p{C}\p{Zl}\p{Zp}]/u.test(id)) throw new AnswerError(`${where} holds a control character`);
  return id;
}

function checkIdentity(id: string, value: Record<string, unknown>, where: string): CheckedIdentity {
  const { passphrase, names } = value;
  return {
    id,
    certificatePem: checkText(value['certificatePem'], `${where}.certificatePem`, longestPem),
    keyPem: checkText(value['keyPem'], `${where}.keyPem`, longestPem),
    ...(passphrase === undefined || passphrase === null
      ? {}
      : { passphrase: checkText(passphrase, `${where}.passphrase`, longestPassphrase) }),
    ...(names === undefined || names === null
      ? {}
      : { names: checkList(names, `${where}.names`, mostNames, longestName) }),
  };
}

function checkTime(value: unknown, now: number): number {
  let time = Number.NaN;
  if (typeof value === 'number') time = value;
  else if (isDate(value)) time = value.getTime();
  else if (typeof value === 'string' && isoDate.test(value)) time = Date.parse(value);
  // Through a Date: it knows how far dates reach (ECMA-262 §21.4.1.1).
  time = new Date(time).getTime();
  if (Number.isNaN(time)) {
    throw new AnswerError('askAgainAt is neither a Date nor milliseconds since 1970 nor an ISO 8601 date');
  }
  if (time < now) throw new AnswerError(`askAgainAt is in the past (${new Date(time).toISOString()})`);
  return time;
}

function checkWatch(value: unknown): string[] {
  return checkList(value, 'watch', mostDirectories, longestPath).map((directory, index) => {
    if (directory === '' || directory.includes('\0')) throw new AnswerError(`watch[${index}] is not a path`);
    return directory;
  });
}

function checkList(value: unknown, where: string, most: number, longest: number): string[] {
  if (!Array.isArray(value)) throw new AnswerError(`${where} is ${kindOf(value)}, not an array`);
  if (value.length > most) throw new AnswerError(`${where} has ${value.length} entries; the limit is ${most}`);
  // Not map: it passes over the holes of an array.
  return Array.from(value, (one: unknown, index) => checkText(one, `${where}[${index}]`, longest));
}

function checkText(value: unknown, where: string, longest: number): string {
  if (typeof value !== 'string') throw new AnswerError(`${where} is not a string`);
  if (value.length > longest) throw new AnswerError(`${where} has ${value.length} characters; the limit is ${longest}`);
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
