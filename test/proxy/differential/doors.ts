import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { startFrontDoor, type TestFrontDoor } from '../../support/swivel.ts';
import { readAnswers, type SeenAnswer } from './answers.ts';
import { ask } from './ask.ts';
import { type SeenRequest, type StrictUpstream, startStrictUpstream } from './strict-upstream.ts';

/** Octets that a head may have: small, so that cases near it are. */
export const limit = 4096;

/** What one of the two paths made of some octets. */
export interface Outcome {
  readonly requests: readonly SeenRequest[];
  readonly answers: readonly SeenAnswer[];
  /** Swivel refused what came last: with such a status, or 0 when it closed the connection without a word. */
  readonly refused: number | null;
  /** The connection was closed, before the client closed it. */
  readonly closed: boolean;
}

interface Side {
  readonly door: TestFrontDoor;
  readonly upstream: StrictUpstream;
}

/** One door with the fast path and one without, each before an upstream of its own. */
export class TwoDoors {
  readonly #fast: Side;
  readonly #ordinary: Side;
  /** Connections that were made. */
  asked = 0;

  constructor(fast: Side, ordinary: Side) {
    this.#fast = fast;
    this.#ordinary = ordinary;
  }

  /** @param pieces each in a record of its own @param last sent when what was asked is answered */
  fast(pieces: readonly string[], last = '', patient = false): Promise<Outcome> {
    return this.#ask(this.#fast, pieces, last, patient);
  }

  ordinary(pieces: readonly string[], last = '', patient = false): Promise<Outcome> {
    return this.#ask(this.#ordinary, pieces, last, patient);
  }

  /**
   * Sends the same to both.
   * @throws AssertionError when they differ
   * @returns what both made of it
   */
  async agree(what: string, pieces: readonly string[], last = ''): Promise<Outcome> {
    const [fast, ordinary] = await Promise.all([this.fast(pieces, last), this.ordinary(pieces, last)]);
    if (isSame(fast, ordinary)) return ordinary;
    // One after the other, and with patience: a machine under load delivers late.
    const again = await this.fast(pieces, last, true);
    const expected = await this.ordinary(pieces, last, true);
    assert.deepEqual(...comparable(again, expected), `${what}: ${JSON.stringify(pieces)}`);
    return expected;
  }

  /**
   * Sends the same to both: to the ordinary path in one piece, to the fast path in two, split at each of some positions.
   * @throws AssertionError when they differ
   */
  async agreeHoweverSplit(what: string, text: string, last: string, positions: readonly number[]): Promise<void> {
    const expected = await this.ordinary([text + last]);
    for (const at of positions) {
      const pieces = [text.slice(0, at), text.slice(at) + last];
      if (!isSame(await this.fast(pieces), expected)) await this.agree(`${what}, split at ${at}`, pieces);
    }
  }

  /** What reached an upstream and is not HTTP, not even for the most patient reader. */
  get malformed(): readonly string[] {
    return [...this.#fast.upstream.malformed, ...this.#ordinary.upstream.malformed];
  }

  async #ask({ door, upstream }: Side, pieces: readonly string[], last: string, patient: boolean): Promise<Outcome> {
    this.asked += 1;
    const bytes = pieces.map((piece) => Buffer.from(piece, 'latin1'));
    const { text, closed } = await ask(door, bytes, last, patient);
    const answers = readAnswers(text);
    const requests = upstream.take();
    const final = answers.at(-1);
    const finalStatus = final ? refusalStatus(final) : null;
    if (finalStatus !== null) return { requests, answers: answers.slice(0, -1), refused: finalStatus, closed };
    const unanswered = final === undefined || !final.complete || !final.fields.includes('connection: close');
    return { requests, answers, refused: unanswered && closed ? 0 : null, closed };
  }
}

/** The status of an answer of Swivel's own by which it refuses a request; null for any other answer. */
function refusalStatus({ status, fields, body }: SeenAnswer): number | null {
  const code = Number(status.slice(9, 12));
  const ours = code >= 400 && fields.includes('connection: close') && /^([A-Z_]+: |$)/.test(body);
  return ours ? code : null;
}

/**
 * Whether both paths made the same of it. The words of a refusal may differ, and they may be lost where the connection is cut; the status may
 * not differ. What never becomes a request may be refused at once by the fast path and waited for by the other.
 */
export function isSame(fast: Outcome, ordinary: Outcome): boolean {
  return isDeepStrictEqual(...comparable(fast, ordinary));
}

function comparable(fast: Outcome, ordinary: Outcome): [object, object] {
  const waits = fast.refused !== null && !ordinary.closed;
  const wordless = waits || [fast.refused, ordinary.refused].some((status) => status === null || status === 0);
  const pick = ({ requests, answers, refused, closed }: Outcome) => {
    return { requests, answers, closed: waits ? 'waits' : closed, refused: wordless ? 'wordless' : refused };
  };
  return [pick(fast), pick(ordinary)];
}

/** Starts both; they end with the test. */
export async function startTwoDoors(t: Pick<TestContext, 'after'>): Promise<TwoDoors> {
  const start = async (fastPath: boolean) => {
    const upstream = await startStrictUpstream(t);
    const proxy = { fastPath, maxHeaderSize: limit, access: false };
    return { upstream, door: await startFrontDoor(t, { upstream: upstream.url, proxy }) };
  };
  return new TwoDoors(await start(true), await start(false));
}
