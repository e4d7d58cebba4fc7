import cluster from 'node:cluster';
import type { Wire } from './channel.ts';
import type { WorkerProcess } from './managed-worker.ts';

export interface SpawnOptions {
  /** The program, which finds by `cluster.isWorker` that it is a worker. */
  readonly program: string;
  readonly execArgv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Descriptors that the worker gets, from 4 on. */
  readonly descriptors: readonly number[];
}

/** Starts the process of a worker. It has the output of this one, no input, and the private channel as descriptor 3. */
export function spawnWorker({ program, execArgv, env, descriptors }: SpawnOptions): WorkerProcess {
  cluster.setupPrimary({
    exec: program,
    args: [],
    execArgv: [...execArgv],
    // Structured clones: buffers and maps as they are.
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...descriptors],
    // A free one. node:cluster would take the ports after that of the primary, and a worker whose port is taken has no inspector.
    inspectPort: 0,
  });
  const worker = cluster.fork(env);
  // Of a process that does not read any more, its end tells enough.
  worker.process.on('error', () => {});
  worker.on('error', () => {});
  return {
    pid: worker.process.pid ?? 0,
    wire: {
      send: (message, handle) => {
        if (worker.isConnected()) worker.send(message as object, handle as never, undefined, () => {});
      },
      receive: (listener) => void worker.on('message', listener),
    },
    kill: (signal) => void worker.process.kill(signal),
    onExit: (listener) => {
      worker.process.once('exit', (code, signal) => listener(signal ? `signal ${signal}` : `code ${code}`));
      // What never ran never ends.
      if (worker.process.pid === undefined) worker.process.once('error', ({ message }) => listener(message));
    },
  };
}

/** The channel to the primary, in a worker. */
export function wireToPrimary(): Wire {
  return {
    send: (message) => {
      if (process.connected) process.send?.(message, undefined, undefined, () => {});
    },
    receive: (listener) => void process.on('message', listener),
  };
}

/**
 * Calls a listener when the primary is gone, however that came about. Without it the process would end at once, for node:cluster takes the
 * end of the channel for a crash unless the worker left by itself.
 */
export function onOrphaned(listener: () => void): void {
  cluster.worker?.once('disconnect', () => {
    if (cluster.worker) cluster.worker.exitedAfterDisconnect = true;
    listener();
  });
}
