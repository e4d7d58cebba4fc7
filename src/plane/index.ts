/**
 * The plane: everything that serves clients, in the one process or in each worker, put together.
 *
 *   ContextStore, LocalPublisher ─ TlsListeners ─ FrontDoor ─ ConnectionRegistry ─ Upstreams
 */
export { collectGarbage } from './collect-garbage.ts';
export { DataPlane, type PlaneSurroundings } from './data-plane.ts';
export { type PlaneConfig, planeConfig, storeOptions } from './options.ts';
export { type WorkerConfiguration, work } from './worker.ts';
