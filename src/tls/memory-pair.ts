import { Duplex } from 'node:stream';
import { inTurn } from '../pace.ts';

/**
 * Two ends of a connection in memory. What is written to one comes out of the other in a turn of the event loop of its own, as it would over a
 * network: a handshake takes milliseconds, and they need not be had in one go.
 */
export function memoryPair(): [Duplex, Duplex] {
  const near = new End();
  const far = new End();
  near.other = far;
  far.other = near;
  return [near, far];
}

class End extends Duplex {
  other: End | null = null;

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    inTurn(() => {
      if (!this.other?.destroyed) this.other?.push(chunk);
      done();
    });
  }

  override _final(done: () => void): void {
    inTurn(() => {
      if (!this.other?.destroyed) this.other?.push(null);
      done();
    });
  }
}
