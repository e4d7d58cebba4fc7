/** Sends a message to the process that started this one; it may have ended meanwhile, and this one is about to. */
export function reply(message: object): void {
  process.send?.(message, undefined, undefined, () => {});
}
