/** Checks of arguments that came from a caller, shared by every domain. All throw before any work begins. */

import { nonFiniteError, rangeError, shapeError, typeError } from './errors.ts';

/** Numbers in order: a typed array or a plain array. */
export type NumberList = ArrayLike<number>;

export function checkObject(value: unknown, name: string): asserts value is Record<string, unknown> {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || ArrayBuffer.isView(value)) {
    throw typeError('an object', name, value);
  }
}

/** Refuses misspelt options instead of ignoring them. */
export function checkKnownKeys(value: object, known: readonly string[], name: string): void {
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) throw typeError(`one of ${known.join(', ')}`, `a key of ${name}`, key);
  }
}

export function checkInteger(value: unknown, name: string, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number') throw typeError('an integer', name, value);
  if (!Number.isInteger(value) || value < min || value > max) {
    const unbounded = max === Number.MAX_SAFE_INTEGER && !(value > max);
    throw rangeError(unbounded ? `an integer >= ${min}` : `an integer in [${min}, ${max}]`, name, value);
  }
  return value;
}

/** A finite number in [min, max]; `open` excludes both ends. */
export function checkNumber(
  value: unknown,
  name: string,
  min = Number.NEGATIVE_INFINITY,
  max = Number.POSITIVE_INFINITY,
  open = false,
): number {
  if (typeof value !== 'number') throw typeError('a number', name, value);
  const inside = open ? value > min && value < max : value >= min && value <= max;
  if (!Number.isFinite(value) || !inside) {
    const atLeast = `a finite number${min === Number.NEGATIVE_INFINITY ? '' : ` ${open ? '>' : '>='} ${min}`}`;
    const range = open ? `a number in (${min}, ${max})` : `a number in [${min}, ${max}]`;
    throw rangeError(max === Number.POSITIVE_INFINITY ? atLeast : range, name, value);
  }
  return value;
}

/** An array of numbers or a typed array of numbers (not BigInt), of `length` elements where that is given. */
export function checkNumberList(value: unknown, name: string, length?: number): NumberList {
  const typed = ArrayBuffer.isView(value) && !(value instanceof DataView);
  if (!(Array.isArray(value) || typed) || value instanceof BigInt64Array || value instanceof BigUint64Array) {
    throw typeError('an array of numbers', name, value);
  }
  const list = value as unknown as NumberList;
  if (length !== undefined && list.length !== length) {
    throw shapeError(`${length} elements`, name, `${list.length}`);
  }
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      if (typeof value[i] !== 'number') throw typeError('a number', `${name}[${i}]`, value[i]);
    }
  }
  return list;
}

/** Refuses NaN, naming the first place. */
export function checkNoNaN(list: NumberList, name: string): void {
  for (let i = 0; i < list.length; i++) {
    if (Number.isNaN(list[i])) throw nonFiniteError('a number', `${name}[${i}]`, 'NaN');
  }
}

/** Row ranges as whole numbers in a Float64Array: item i is rows offsets[i] .. offsets[i+1]; from 0 to `rows`, never falling. */
export function checkOffsets(offsets: unknown, rows: number): Float64Array {
  const list = checkNumberList(offsets, 'offsets');
  if (list.length < 1) throw shapeError('at least one element', 'offsets', '0');
  const checked = new Float64Array(list.length);
  let previous = 0;
  for (let i = 0; i < list.length; i++) {
    const offset = list[i]!;
    if (!Number.isInteger(offset) || offset < previous || (i === 0 && offset !== 0)) {
      throw rangeError(i === 0 ? '0' : `an integer >= ${previous}`, `offsets[${i}]`, offset);
    }
    checked[i] = previous = offset;
  }
  if (previous !== rows) throw shapeError(`${rows} (the number of rows)`, 'the last element of offsets', `${previous}`);
  return checked;
}
