/**
 * Errors of covn. Every error that a caller can act on has a stable `code`, and a text of the form
 * "Expected ‹what› for ‹name› but received ‹value›".
 */

/** The stable codes, documented in the README. */
export type ErrorCode =
  | 'ERR_COVN_SHAPE'
  | 'ERR_COVN_DTYPE'
  | 'ERR_COVN_RANGE'
  | 'ERR_COVN_NON_FINITE'
  | 'ERR_COVN_FORMAT'
  | 'ERR_COVN_DEVICE'
  | 'ERR_COVN_ADDON'
  | 'ERR_COVN_ALIGNMENT';

/** An error about the data or the machine, rather than about one argument's type or range. */
export class CovnError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CovnError';
    this.code = code;
  }
}

/** A short, safe description of any value, for an error's "but received" part. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return value.length > 60 ? `'${value.slice(0, 57)}...'` : `'${value}'`;
  if (typeof value === 'bigint') return `${value}n`;
  if (value === null || typeof value !== 'object') {
    return typeof value === 'function' ? 'a function' : String(value);
  }
  const name = Object.getPrototypeOf(value)?.constructor?.name ?? 'Object';
  const length = (value as { length?: unknown }).length;
  return typeof length === 'number' ? `${name}(${length})` : name;
}

function text(what: string, name: string, received: string): string {
  return `Expected ${what} for ${name} but received ${received}`;
}

/** A value of the wrong kind: TypeError with code ERR_COVN_DTYPE. */
export function typeError(what: string, name: string, value: unknown): TypeError {
  return Object.assign(new TypeError(text(what, name, describe(value))), { code: 'ERR_COVN_DTYPE' as const });
}

/** A value of the right kind outside its range: RangeError with code ERR_COVN_RANGE. `received` overrides its text. */
export function rangeError(what: string, name: string, value: unknown, received = describe(value)): RangeError {
  return Object.assign(new RangeError(text(what, name, received)), { code: 'ERR_COVN_RANGE' as const });
}

/** Lengths that do not fit together: RangeError with code ERR_COVN_SHAPE. */
export function shapeError(what: string, name: string, received: string): RangeError {
  return Object.assign(new RangeError(text(what, name, received)), { code: 'ERR_COVN_SHAPE' as const });
}

/** A NaN or infinity where a finite number belongs: CovnError with code ERR_COVN_NON_FINITE. */
export function nonFiniteError(what: string, name: string, received: string): CovnError {
  return new CovnError('ERR_COVN_NON_FINITE', text(what, name, received));
}

/** The error of a code that the native layer gave, in the class that the code has everywhere. */
export function errorOfCode(code: ErrorCode, message: string): Error {
  if (code === 'ERR_COVN_DTYPE') return Object.assign(new TypeError(message), { code });
  if (code === 'ERR_COVN_SHAPE' || code === 'ERR_COVN_RANGE') return Object.assign(new RangeError(message), { code });
  return new CovnError(code, message);
}
