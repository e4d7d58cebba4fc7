import { extname } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { FileFault } from './read.ts';
import { SnapshotReader } from './snapshot.ts';
import type { FaultMessage, ReadMessage, ReplyMessage, SnapshotMessage } from './thread-messages.ts';

/** The thread's side: reads snapshots on request, several at a time, each for the reader that asked. */
const readers = new Map<number, SnapshotReader>();

parentPort?.on('message', (message: ReadMessage) => {
  void answer(message).then((reply) => parentPort?.postMessage(reply));
});

async function answer({ call, reader: id, path, extensions, thorough }: ReadMessage): Promise<ReplyMessage> {
  let reader = readers.get(id);
  if (!reader) {
    reader = new SnapshotReader();
    readers.set(id, reader);
  }
  const wanted = (name: string) => extensions === null || extensions.has(extname(name).toLowerCase());
  try {
    const { exists, files, faults, dangling, watch } = await reader.read({ path, wanted, thorough });
    const snapshot: SnapshotMessage = {
      exists,
      files,
      faults: new Map([...faults].map(([name, fault]) => [name, faultMessage(fault)])),
      dangling,
      watch,
    };
    return { call, snapshot };
  } catch (error) {
    if (error instanceof FileFault) return { call, fault: faultMessage(error) };
    return { call, fault: { code: 'SOURCE_UNREADABLE', path, message: `${path} cannot be read: ${String(error)}` } };
  }
}

function faultMessage({ code, path, message }: FileFault): FaultMessage {
  return { code, path, message };
}
