/** Text files as streams of bytes: plain or gzip, refused early when they are something else. */

import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { PassThrough, pipeline, type Readable } from 'node:stream';
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
    const text = new PassThrough();
    const done = (error: unknown) => {
      if (error) text.destroy(readingError(path, error) as Error);
    };
    if (head[0] === 0x1f && head[1] === 0x8b) pipeline(raw, createGunzip(), text, done);
    else pipeline(raw, text, done);
    return text;
  } catch (error) {
    throw readingError(path, error);
  }
}
