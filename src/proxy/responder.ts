/** How an answer reaches a client; one implementation for each HTTP version. */
export interface Responder {
  /** Called when the client can take more. */
  onDrain: () => void;
  /** Called when the client went away before the answer was complete. */
  onAbort: () => void;
  continue(): void;
  /** An interim response (RFC 9110 §15.2). */
  inform(status: number, headers: string[]): void;
  head(status: number, headers: string[]): void;
  /** @returns false when the client cannot take more for now */
  write(chunk: Buffer): boolean;
  /** @param trailers names and values in turn */
  end(trailers: string[]): void;
  /** Ends it so that the client sees that it is incomplete. */
  cut(): void;
}
