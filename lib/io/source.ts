/** Text files as streams of bytes: plain or gzip, refused early when they are something else. */

import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { FormatError, readingError } from './place.ts';

const OTHER_FORMATS: [bytes: string, what: string][] = [
  ['PAR1', 'a Parquet file'],
  ['PK\x03\x04', 'a ZIP archive'],
  ['\x93NUMPY', 'an .npy file'],
  ['ARROW1', 'an Arrow file'],
  ['\x28\xb5\x2f\xfd', 'Zstandard-compressed data'],
  ['\xff\xfe', 'UTF-16 text'],
  ['\xfe\xff', 'UTF-16 text'],
];

/** The bytes of a file, a pipe, or ('-') of standard input. */
function openBytes(path: string): Readable {
  if (path !== '-' && path !== '/dev/stdin') return createReadStream(path);
  const { stdin } = process;
  if (stdin.readableEnded || stdin.destroyed) {
    throw new FormatError({ file: path }, 'standard input once', 'it a second time');
  }
  return stdin;
}

/** The next chunk, or the signal's reason at once: the read of a pipe that stalls cannot be taken back. */
function nextChunk(chunks: AsyncIterator<Buffer>, signal: AbortSignal | undefined): Promise<IteratorResult<Buffer>> {
  if (signal === undefined) return chunks.next();
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop, { once: true });
    const done = () => signal.removeEventListener('abort', stop);
    chunks.next().then(resolve, reject).finally(done);
  });
}

/** The first bytes of a stream (at least 8, fewer where it ends) and what follows them. A pipe cannot be read twice. */
async function splitHead(chunks: AsyncIterator<Buffer>, signal: AbortSignal | undefined): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < 8) {
    const next = await nextChunk(chunks, signal);
    if (next.done) break;
    head = Buffer.concat([head, next.value]);
  }
  return head;
}

/** The head of a stream and the rest of it, one after the other; destroys the stream when left early. */
async function* joined(head: Buffer, chunks: AsyncIterator<Buffer>, raw: Readable, signal: AbortSignal | undefined) {
  try {
    yield head;
    for (;;) {
      const next = await nextChunk(chunks, signal);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    raw.destroy();
  }
}

/** Bytes at the end of a chunk that begin a character of UTF-8 without completing it. */
function incomplete(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

const NEWLINE = 0x0a;

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) lines++;
  return lines;
}

/** The error about bytes that are not UTF-8, with the line of the first of them. */
function encodingError(file: string, bytes: Buffer, linesBefore: number): FormatError {
  let line = linesBefore + 1;
  let start = 0;
  for (let end = bytes.indexOf(NEWLINE); end >= 0 && isUtf8(bytes.subarray(start, end)); line++) {
    start = end + 1;
    end = bytes.indexOf(NEWLINE, start);
  }
  const hint = 'Convert it first: iconv -f LATIN1 -t UTF-8, or the encoding that it has';
  return new FormatError({ file, line }, 'UTF-8 text', 'bytes that are not UTF-8', hint);
}

/** The chunks of a stream, found to be UTF-8: replacement characters would make one of several names. Errors name the file. */
async function* checked(file: string, bytes: Readable): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  let lines = 0;
  try {
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      const all = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
      const whole = all.subarray(0, all.length - incomplete(all));
      if (!isUtf8(whole)) throw encodingError(file, whole, lines);
      lines += countLines(whole);
      rest = all.subarray(whole.length);
      yield chunk;
    }
    if (rest.length > 0) throw encodingError(file, rest, lines);
  } catch (error) {
    throw readingError(file, error);
  }
}

/**
 * Opens a text file, a pipe, or standard input ('-'); gzip is recognised by its first two bytes, whatever the name. Errors
 * of the stream, bytes that are not UTF-8 among them, are FormatErrors that name the file.
 */
export async function openText(path: string, signal?: AbortSignal): Promise<Readable> {
  signal?.throwIfAborted();
  let raw: Readable | undefined;
  try {
    raw = openBytes(path);
    const chunks: AsyncIterator<Buffer> = raw[Symbol.asyncIterator]();
    const head = await splitHead(chunks, signal);
    if (head.length === 0) throw new FormatError({ file: path }, 'a text file with a header line', 'an empty file');
    for (const [bytes, what] of OTHER_FORMATS) {
      if (head.toString('latin1', 0, 8).startsWith(bytes)) {
        throw new FormatError({ file: path, byte: 0 }, 'UTF-8 text (CSV, TSV or JSONL; .gz allowed)', what);
      }
    }
    const whole = Readable.from(joined(head, chunks, raw, signal), { objectMode: false });
    const gzip = head[0] === 0x1f && head[1] === 0x8b;
    const bytes: Readable = gzip ? pipeline(whole, createGunzip(), () => {}) : whole;
    return Readable.from(checked(path, bytes), { objectMode: false });
  } catch (error) {
    raw?.destroy();
    throw readingError(path, error);
  }
}
