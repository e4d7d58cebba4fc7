import { inspect } from 'node:util';

/** Text that must not come out by accident: it shows as `[secret]` wherever it is printed, logged or serialised. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself. Each call is a place to look at when asking where secrets go. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}
