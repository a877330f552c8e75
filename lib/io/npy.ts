/** NumPy's .npy, versions 1 to 3 (numpy.lib.format). The header is data from outside: nothing in it is believed. */

import { type FileHandle, open } from 'node:fs/promises';
import { FormatError, listNames, readingError } from './place.ts';

/** An array read from an .npy file. */
export interface NpyArray {
  readonly shape: readonly number[];
  /** Type on disk: '<f2', '<f4', '<f8', '<i4' or '<i8'. */
  readonly descr: string;
  /** The elements in C (row-major) order, whatever the order on disk. */
  readonly data: Float64Array;
}

interface Header {
  readonly descr: string;
  readonly fortran: boolean;
  readonly shape: number[];
}

const MAGIC = '\x93NUMPY';
const LONGEST_HEADER = 65_536;
const CHUNK = 1 << 22; // elements read at a time

/** A half-precision number from its 16 bits. */
function half(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

const TYPES: Record<string, { size: number; read(view: DataView, at: number): number }> = {
  f2: { size: 2, read: (view, at) => half(view.getUint16(at, true)) },
  f4: { size: 4, read: (view, at) => view.getFloat32(at, true) },
  f8: { size: 8, read: (view, at) => view.getFloat64(at, true) },
  i4: { size: 4, read: (view, at) => view.getInt32(at, true) },
  i8: { size: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
};

const ENTRY = /'(descr|fortran_order|shape)'\s*:\s*(?:'([^']*)'|(True|False)|\(([\d\s,]*)\))\s*(?:,\s*|(?=\}))/y;

/** The header's dict literal, by a grammar that admits nothing else. */
function parseHeader(file: string, text: string): Header {
  const refuse = (found: string) =>
    new FormatError({ file, byte: 10 }, "a header {'descr', 'fortran_order', 'shape'}", found);
  const literal = text.trim();
  const found = literal.length > 80 ? `${literal.slice(0, 77)}...` : literal;
  if (!literal.startsWith('{') || !literal.endsWith('}')) throw refuse(found);
  const values: { descr?: string; fortran_order?: string; shape?: string } = {};
  ENTRY.lastIndex = /^\{\s*/.exec(literal)![0].length;
  while (ENTRY.lastIndex < literal.length - 1) {
    const match = ENTRY.exec(literal);
    const key = match?.[1] as keyof typeof values | undefined;
    if (!match || key === undefined || values[key] !== undefined) throw refuse(found);
    const value = { descr: match[2], fortran_order: match[3], shape: match[4] }[key];
    if (value === undefined) {
      if (key === 'descr') break;
      throw refuse(found);
    }
    values[key] = value;
  }
  const { descr, fortran_order, shape } = values;
  if (descr === undefined) throw refuse(`${found} (structured or object arrays are not read)`);
  if (fortran_order === undefined || shape === undefined) throw refuse(found);
  const sizes = shape.split(',').map((size) => size.trim());
  if (sizes.at(-1) === '') sizes.pop();
  if (sizes.some((size) => !/^\d{1,15}$/.test(size))) throw refuse(found);
  return { descr, fortran: fortran_order === 'True', shape: sizes.map(Number) };
}

async function readHeader(file: string, handle: FileHandle): Promise<Header & { start: number }> {
  const prefix = Buffer.alloc(12);
  const { bytesRead } = await handle.read(prefix, 0, 12, 0);
  if (bytesRead < 10 || prefix.toString('latin1', 0, 6) !== MAGIC) {
    const found = bytesRead === 0 ? 'an empty file' : `${Math.min(bytesRead, 6)} other bytes`;
    throw new FormatError({ file, byte: 0 }, "the 6 bytes '\\x93NUMPY' and a header", found);
  }
  const version = prefix[6]!;
  if (version < 1 || version > 3) throw new FormatError({ file, byte: 6 }, 'version 1, 2 or 3', `${version}`);
  const start = version === 1 ? 10 : 12;
  const length = version === 1 ? prefix.readUInt16LE(8) : prefix.readUInt32LE(8);
  if (length > LONGEST_HEADER) {
    throw new FormatError({ file, byte: 8 }, `a header of at most ${LONGEST_HEADER} bytes`, `${length} bytes`);
  }
  const text = Buffer.alloc(length);
  const got = (await handle.read(text, 0, length, start)).bytesRead;
  if (got < length) throw new FormatError({ file, byte: start }, `a header of ${length} bytes`, `${got} bytes`);
  return { ...parseHeader(file, text.toString(version === 3 ? 'utf8' : 'latin1')), start: start + length };
}

function elementType(file: string, descr: string) {
  const name = descr.slice(1);
  const type = descr[0] === '<' && Object.hasOwn(TYPES, name) ? TYPES[name] : undefined;
  if (type !== undefined) return type;
  const hints: Record<string, string> = {
    '>': 'Big-endian: rewrite it with array.astype(array.dtype.newbyteorder("<"))',
    O: 'Object arrays hold pickled Python code, which is never run',
    V: 'bfloat16 has no .npy type: save it as float32',
  };
  const hint = hints[descr[0] ?? ''] ?? hints[descr[1] ?? ''];
  throw new FormatError({ file }, "the type '<f2', '<f4', '<f8', '<i4' or '<i8'", `'${descr}'`, hint);
}

/** A shape for people, abridged: a header may claim any number of dimensions. */
export function shapeText(shape: readonly number[]): string {
  return `(${listNames(shape.map(String), 8)})`;
}

/** From column-major to row-major order. */
function transpose(data: Float64Array, shape: readonly number[]): Float64Array {
  const out = new Float64Array(data.length);
  const index = shape.map(() => 0);
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  for (let i = 0, at = 0; i < data.length; i++) {
    out[at] = data[i]!;
    for (let axis = 0; axis < shape.length; axis++) {
      index[axis]!++;
      at += strides[axis]!;
      if (index[axis]! < shape[axis]!) break;
      at -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

/**
 * Reads an .npy file as float64 in row-major order. int64 beyond 2^53 is rounded.
 * @throws FormatError for another format, type, a header that lies, and data that are too short or too long, with the
 *   byte counts.
 */
export async function readNpy(path: string, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<NpyArray> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const { descr, fortran, shape, start } = await readHeader(path, handle);
    const { size, read } = elementType(path, descr);
    const elements = shape.reduce((a, b) => a * b, 1);
    const expected = elements * size;
    const found = (await handle.stat()).size - start;
    // Checked before anything of that size is allocated.
    if (found !== expected) {
      const what = `${expected} bytes of data (shape ${shapeText(shape)}, type ${descr})`;
      const state = found < expected ? 'cut short' : 'too long';
      throw new FormatError({ file: path, byte: start }, what, `${found} bytes: the file is ${state}`);
    }
    const data = new Float64Array(elements);
    const buffer = Buffer.alloc(Math.min(elements, CHUNK) * size);
    for (let at = 0; at < elements; at += CHUNK) {
      signal?.throwIfAborted();
      const count = Math.min(CHUNK, elements - at);
      const { bytesRead } = await handle.read(buffer, 0, count * size, start + at * size);
      if (bytesRead < count * size) {
        throw new FormatError({ file: path, byte: start + at * size }, `${count * size} bytes`, `${bytesRead}`);
      }
      const view = new DataView(buffer.buffer, buffer.byteOffset, count * size);
      for (let i = 0; i < count; i++) data[at + i] = read(view, i * size);
    }
    return { shape, descr, data: fortran && shape.length > 1 ? transpose(data, shape) : data };
  } catch (error) {
    throw readingError(path, error);
  } finally {
    await handle?.close();
  }
}
