/** Text files as streams of bytes: plain or gzip, refused early when they are something else. */

import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
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

async function firstBytes(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** The chunks of a stream, whose errors then name the file. */
async function* naming(path: string, bytes: Readable): AsyncGenerator<Buffer> {
  try {
    yield* bytes;
  } catch (error) {
    throw readingError(path, error);
  }
}

/**
 * Opens a text file; gzip is recognised by its first two bytes, whatever the name. Errors of the stream are
 * FormatErrors that name the file.
 */
export async function openText(path: string, signal?: AbortSignal): Promise<Readable> {
  signal?.throwIfAborted();
  try {
    const head = await firstBytes(path);
    if (head.length === 0) throw new FormatError({ file: path }, 'a text file with a header line', 'an empty file');
    for (const [bytes, what] of OTHER_FORMATS) {
      if (head.toString('latin1').startsWith(bytes)) {
        throw new FormatError({ file: path, byte: 0 }, 'UTF-8 text (CSV, TSV or JSONL; .gz allowed)', what);
      }
    }
    const raw = createReadStream(path, { signal });
    const gzip = head[0] === 0x1f && head[1] === 0x8b;
    const bytes: Readable = gzip ? pipeline(raw, createGunzip(), () => {}) : raw;
    return Readable.from(naming(path, bytes), { objectMode: false });
  } catch (error) {
    throw readingError(path, error);
  }
}
