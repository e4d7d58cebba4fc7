import { describe } from 'node:test';
import { startFrontDoor } from '../../support/swivel.ts';

type StartFrontDoor = typeof startFrontDoor;
export type Setup = Parameters<StartFrontDoor>[1];

/**
 * Defines tests twice, for both ways that HTTP/1.1 takes through the proxy: straight through where requests are plain, and by `node:http`. For
 * behaviour that is the same on both.
 * @param define is given what starts a front door of that kind, and which kind it is
 */
export function forBothPaths(define: (start: StartFrontDoor, fastPath: boolean) => void): void {
  const on = (fastPath: boolean) => () => {
    define((t, setup) => startFrontDoor(t, { ...setup, proxy: { ...setup.proxy, fastPath } }), fastPath);
  };
  describe('straight through', on(true));
  describe('by node:http', on(false));
}
