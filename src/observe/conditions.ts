/** A named fact about health, as in Kubernetes. */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  /** When `status` last changed, RFC 3339. */
  readonly lastTransitionTime: string;
}

/** The conditions of the process. Ready while every condition that readiness turns on is True. */
export class Conditions {
  readonly #conditions = new Map<string, Condition>();
  readonly #required: ReadonlySet<string>;

  /** @param required the types that readiness turns on; one that was never set counts as False */
  constructor(required: readonly string[]) {
    this.#required = new Set(required);
  }

  set(type: string, status: boolean, reason: string, message: string): void {
    const before = this.#conditions.get(type);
    const text = status ? 'True' : 'False';
    const same = before?.status === text;
    const lastTransitionTime = same ? before.lastTransitionTime : new Date().toISOString();
    this.#conditions.set(type, { type, status: text, reason, message, lastTransitionTime });
  }

  get ready(): boolean {
    return [...this.#required].every((type) => this.#conditions.get(type)?.status === 'True');
  }

  list(): Condition[] {
    return [...this.#conditions.values()];
  }
}
