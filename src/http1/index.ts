/** The syntax of HTTP/1.1 messages (RFC 9112), over octets. Pure. */
export { ChunkDecoder, type ChunkFault, type ChunkSink, readTrailer } from './chunked.ts';
export { notPlain, partial } from './fields.ts';
export { type PlainFields, type PlainRequest, readRequest } from './request-head.ts';
export { inChunks, type PlainResponse, readResponse, untilClose } from './response-head.ts';
export { chunkHead, chunkTail, FieldText, lastChunk, requestText } from './write.ts';
