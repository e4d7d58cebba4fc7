/** What hears of the client while it is answered. */
export interface Answerer {
  /** The client can take more. */
  onDrain(): void;
  /** The client went away before the answer was complete. */
  onAbort(): void;
}

/** How an answer reaches a client; one implementation for each way in. */
export interface Responder {
  /** Says who answers. Until then, and after the answer, nobody is told anything. */
  attach(answerer: Answerer): void;
  continue(): void;
  /** An interim response (RFC 9110 §15.2). */
  inform(status: number, headers: string[]): void;
  /** What follows in the same turn may go in the same packet; `flush` sends it. */
  head(status: number, headers: string[]): void;
  /** @param chunk lent: its octets change after the call @returns false when the client cannot take more for now */
  write(chunk: Buffer): boolean;
  /** Nothing more comes for now. */
  flush(): void;
  /** @param trailers names and values in turn */
  end(trailers: string[]): void;
  /** Ends it so that the client sees that it is incomplete. */
  cut(): void;
}
