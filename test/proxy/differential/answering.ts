import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { startFrontDoor, type TestFrontDoor } from '../../support/swivel.ts';
import { readAnswers, type SeenAnswer } from './answers.ts';
import { ask } from './ask.ts';
import type { End } from './response-corpus.ts';
import { type ScriptedUpstream, startScriptedUpstream } from './scripted-upstream.ts';

/** What a client got for a response of an upstream. */
export interface Answered {
  /** Without those that were cut short. */
  readonly answers: readonly SeenAnswer[];
  /** It was told, or can see, that there is no more: the connection was closed, or what it got is not all of it. */
  readonly cut: boolean;
  readonly closed: boolean;
}

interface Side {
  readonly door: TestFrontDoor;
  readonly upstream: ScriptedUpstream;
}

/** Two doors, with the fast path and without, whose upstreams answer what they are told to. */
export class AnsweringDoors {
  readonly #fast: Side;
  readonly #ordinary: Side;

  constructor(fast: Side, ordinary: Side) {
    this.#fast = fast;
    this.#ordinary = ordinary;
  }

  /**
   * Has both answered with the same octets.
   * @throws AssertionError when the clients get something different
   * @returns what they got
   */
  async agree(what: string, method: string, pieces: readonly string[], end: End): Promise<Answered> {
    const go = (side: Side, patient: boolean) => this.#ask(side, method, pieces, end, patient);
    const [fast, ordinary] = await Promise.all([go(this.#fast, false), go(this.#ordinary, false)]);
    if (isDeepStrictEqual(fast, ordinary)) return fast;
    const again = await go(this.#fast, true);
    assert.deepEqual(
      again,
      await go(this.#ordinary, true),
      `${what}, ${end}: ${JSON.stringify(pieces).slice(0, 2000)}`,
    );
    return again;
  }

  async #ask({ door, upstream }: Side, method: string, pieces: readonly string[], end: End, patient: boolean) {
    upstream.pieces = pieces;
    upstream.end = end;
    const request = Buffer.from(`${method} /a HTTP/1.1\r\nHost: app.test\r\n\r\n`);
    const { text, closed } = await ask(door, [request], '', patient);
    const all = readAnswers(text, method);
    const answers = all.filter(({ complete }) => complete);
    return { answers, cut: answers.length < all.length || answers.length === 0, closed };
  }
}

/** Starts both; they end with the test. */
export async function startAnsweringDoors(t: Pick<TestContext, 'after'>): Promise<AnsweringDoors> {
  const start = async (fastPath: boolean) => {
    const upstream = await startScriptedUpstream(t);
    return { upstream, door: await startFrontDoor(t, { upstream: upstream.url, proxy: { fastPath, access: false } }) };
  };
  return new AnsweringDoors(await start(true), await start(false));
}
