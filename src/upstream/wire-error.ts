/** What can be wrong with a connection to a target, beside what the system says of it. */
export type WireFault = 'closed' | 'timeout' | 'invalid' | 'stopping' | 'body';

const messages: Readonly<Record<WireFault, string>> = {
  closed: 'the upstream closed the connection',
  timeout: 'the upstream did not answer in time',
  invalid: 'the upstream did not answer in HTTP',
  stopping: 'the upstream is closed',
  body: 'the body of the request is not as long as was said',
};

/** A request failed on the connection to its target. */
export class WireError extends Error {
  readonly fault: WireFault;

  constructor(fault: WireFault, detail?: string) {
    super(detail === undefined ? messages[fault] : `${messages[fault]}: ${detail}`);
    this.fault = fault;
  }
}
