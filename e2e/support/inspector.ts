import { once } from 'node:events';
import { WebSocket } from 'ws';
import type { SwivelProcess } from './swivel.ts';
import { until } from './until.ts';

/** Environment that lets {@link holdingsOf} look into a process; give it to `startSwivel`. */
export const inspectable = { NODE_OPTIONS: '--inspect=127.0.0.1:0' };

interface Answer {
  readonly id?: number;
  readonly result?: {
    readonly result?: { readonly value?: unknown; readonly objectId?: string };
    readonly objects?: object;
  };
  readonly error?: { readonly message: string };
}

/** What a process holds, after its garbage was collected. */
export interface Holdings {
  /** TLS contexts, by their number. */
  readonly contexts: number;
  readonly timers: number;
  readonly heapBytes: number;
  readonly residentBytes: number;
}

/** Node's own debugger protocol: what a process holds cannot be seen from outside otherwise. */
class Inspector {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #next = 1;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data) => {
      const answer = JSON.parse(String(data)) as Answer;
      this.#waiting.get(answer.id ?? 0)?.(answer);
      this.#waiting.delete(answer.id ?? 0);
    });
  }

  async holdings(): Promise<Holdings> {
    await this.#call('HeapProfiler.collectGarbage');
    const prototype = await this.#evaluate(
      "process.getBuiltinModule('node:tls').createSecureContext().constructor.prototype",
      false,
    );
    const { objects } = await this.#call('Runtime.queryObjects', { prototypeObjectId: prototype.objectId });
    const { objectId } = objects as { objectId: string };
    const functionDeclaration = 'function () { return this.length }';
    const counted = await this.#call('Runtime.callFunctionOn', { objectId, functionDeclaration, returnByValue: true });
    await this.#call('Runtime.releaseObject', { objectId });
    await this.#call('Runtime.releaseObject', { objectId: prototype.objectId });
    await this.#call('HeapProfiler.collectGarbage');
    const { value } = await this.#evaluate(
      '({ memory: process.memoryUsage(), resources: process.getActiveResourcesInfo() })',
      true,
    );
    const { memory, resources } = value as { memory: NodeJS.MemoryUsage; resources: string[] };
    return {
      contexts: counted.result?.value as number,
      timers: resources.filter((resource) => resource === 'Timeout').length,
      heapBytes: memory.heapUsed,
      residentBytes: memory.rss,
    };
  }

  async #evaluate(expression: string, returnByValue: boolean): Promise<{ value?: unknown; objectId?: string }> {
    const { result } = await this.#call('Runtime.evaluate', { expression, returnByValue });
    return result ?? {};
  }

  async #call(method: string, params: object = {}): Promise<NonNullable<Answer['result']>> {
    const id = this.#next++;
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
    if (answer.error) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result ?? {};
  }
}

/** What a process that was started with {@link inspectable} holds. */
export async function holdingsOf(swivel: SwivelProcess): Promise<Holdings> {
  const [holdings] = await holdingsOfAll(swivel, 1);
  return holdings as Holdings;
}

/** The same of a primary and its workers, in the order in which they were started. @param processes how many there are */
export async function holdingsOfAll(swivel: SwivelProcess, processes: number): Promise<Holdings[]> {
  const urls = await until('the addresses of the inspectors', () => {
    const found = swivel.stderr.match(/ws:\/\/\S+/g) ?? [];
    return found.length >= processes ? found.slice(0, processes) : undefined;
  });
  const all: Holdings[] = [];
  for (const url of urls) all.push(await holdingsAt(url));
  return all;
}

async function holdingsAt(url: string): Promise<Holdings> {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  await once(socket, 'open');
  try {
    return await new Inspector(socket).holdings();
  } finally {
    // A process waits for its debugger before it ends.
    socket.terminate();
    await once(socket, 'close');
  }
}
