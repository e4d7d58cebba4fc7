import { describe } from 'node:test';

/**
 * Defines tests twice, for both ways that HTTP/1.1 takes through the proxy: straight through where requests are plain, and by `node:http`. For
 * behaviour that is the same on both.
 * @param define is given what to pass on as `proxy.fastPath`
 */
export function forBothPaths(define: (fastPath: boolean) => void): void {
  describe('straight through', () => define(true));
  describe('by node:http', () => define(false));
}
