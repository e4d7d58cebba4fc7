/**
 * Cluster: one primary, which decides what is served, and the workers that serve it.
 *
 *   ClusterPublisher ─▶ Distribution ─▶ ManagedWorker ═ Channel ═ Worker ─▶ the plane that serves
 *                       Fleet: as many workers as there should be
 */
export type { Change, Contents, Delivery } from './change.ts';
export { applyChange, changeBetween, deliveriesBetween } from './change.ts';
export { Channel, type Methods, type Wire } from './channel.ts';
export { ClusterPublisher } from './cluster-publisher.ts';
export { Distribution } from './distribution.ts';
export { Fleet, type FleetOptions } from './fleet.ts';
export { type Machine, quotaOf, thisMachine, workersFor } from './machine.ts';
export { ManagedWorker, type WorkerProcess, type WorkerState } from './managed-worker.ts';
export type { Beginning, Observation, PrimaryMethods, Vitals, WorkerMethods } from './methods.ts';
export { Observations } from './observations.ts';
export { goFirst, setNiceness } from './priority.ts';
export * from './privileges/index.ts';
export { Respawn } from './respawn.ts';
export type { Observe, Serving, WorkerStatus } from './serving.ts';
export { type BoundSocket, bind } from './sockets.ts';
export { onOrphaned, spawnWorker, wireToPrimary } from './spawn.ts';
export type { Replacement } from './succession.ts';
export { type Plane, Worker, type WorkerOptions } from './worker.ts';
