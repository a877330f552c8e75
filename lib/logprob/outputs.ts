/** Arrays that results are written to: new ones, or the caller's. */

import { shapeError, typeError } from '../errors.ts';
import { isShared } from '../native/index.ts';

type OutputArray = Float32Array | Float64Array | Int32Array;

/** The array that an output of [length] is written to; undefined where it is not wanted. */
export function outputArray<A extends OutputArray>(
  wanted: boolean | A,
  name: string,
  type: new (length: number) => A,
  length: number,
  shared: boolean,
): A | undefined {
  if (typeof wanted === 'boolean') return wanted ? new type(length) : undefined;
  if (!(wanted instanceof type)) throw typeError(`true, false or a ${type.name}`, name, wanted);
  if (wanted.length !== length) throw shapeError(`${length} elements`, name, `${wanted.length}`);
  if (shared && !isShared(wanted)) throw typeError('an array in a SharedArrayBuffer', name, wanted.buffer);
  return wanted;
}

const overlap = (a: ArrayBufferView, b: ArrayBufferView): boolean =>
  a.buffer === b.buffer && a.byteOffset < b.byteOffset + b.byteLength && b.byteOffset < a.byteOffset + a.byteLength;

/** Outputs that share memory would be written over one another, or over `read`, what the call reads meanwhile. */
export function checkApart(
  arrays: Record<string, OutputArray | undefined>,
  read: readonly ArrayBufferView[] = [],
): void {
  const given = Object.entries(arrays).flatMap(([name, array]) => (array ? [{ name, array }] : []));
  for (const [i, { name, array }] of given.entries()) {
    for (const { array: other } of given.slice(0, i)) {
      if (overlap(array, other)) throw typeError('memory that no other output has', `outputs.${name}`, array);
    }
    if (read.some((input) => overlap(array, input))) {
      throw typeError('memory that the call does not read', `outputs.${name}`, array);
    }
  }
}
