/** Serves on the socket that its parent sends: says the name it was given to everybody. */
import { createServer } from 'node:net';

const name = process.argv[2] ?? '';
const server = createServer((socket) => socket.end(name));
process.on('message', (message, handle) => {
  if (message === 'serve') server.listen(handle, () => process.send?.('serves'));
  else server.close(() => process.send?.('closed'));
});
