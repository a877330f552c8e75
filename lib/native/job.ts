/** Asynchronous native jobs: cancellation, progress, and who owns the input while one runs. */

import { errorOfCode, typeError } from '../errors.ts';
import { checkInteger } from '../validate.ts';
import { addon, type NativeStatus, type StartJob } from './addon.ts';

/** Options of every asynchronous call. */
export interface JobOptions {
  /** Cancels the call: its promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called on the JavaScript thread with the fraction done, in [0, 1], at most about 20 times a second and once at the end. */
  readonly onProgress?: (fraction: number) => void;
  /** The most worker threads to use. Default: all (one for each hardware thread). Results do not depend on it. */
  readonly threads?: number;
}

/**
 * What becomes of a large input while an asynchronous call reads it.
 * - 'copy' (default): the call works on a private copy.
 * - 'transfer': the ArrayBuffer is taken without copying, and no other view of it works any more; the result hands the
 *   data back, and so does an error of covn's own, in its `returned` property.
 * - 'borrow': the data are in a SharedArrayBuffer and read in place. Whoever writes to it meanwhile changes the result.
 */
export type Ownership = 'copy' | 'transfer' | 'borrow';

type Numeric = Float32Array | Float64Array | Uint16Array;

export function checkJobOptions(options: JobOptions): void {
  if (options.threads !== undefined) checkInteger(options.threads, 'threads', 1, 4096);
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal)) {
    throw typeError('an AbortSignal', 'signal', options.signal);
  }
  if (options.onProgress !== undefined && typeof options.onProgress !== 'function') {
    throw typeError('a function', 'onProgress', options.onProgress);
  }
}

/** Throws unless the mode is known and the array's buffer fits it. Nothing is taken yet. */
export function checkOwnership(array: Numeric, ownership: Ownership, name: string): void {
  const shared = typeof SharedArrayBuffer !== 'undefined' && (array.buffer as unknown) instanceof SharedArrayBuffer;
  if (ownership === 'borrow' && !shared)
    throw typeError("a SharedArrayBuffer (ownership: 'borrow')", name, array.buffer);
  if (ownership === 'transfer' && shared) throw typeError("an ArrayBuffer (ownership: 'transfer')", name, array.buffer);
  if (ownership !== 'copy' && ownership !== 'borrow' && ownership !== 'transfer') {
    throw typeError("'copy', 'transfer' or 'borrow'", 'ownership', ownership);
  }
}

/** The array that the job may read, private to it unless borrowed. */
export function takeInput<T extends Numeric>(array: T, ownership: Ownership, name: string): T {
  if (ownership === 'borrow') return array;
  if (ownership === 'copy') return array.slice() as T;
  const { byteOffset, length } = array;
  let buffer: ArrayBuffer;
  try {
    const original = array.buffer as ArrayBuffer;
    buffer = structuredClone(original, { transfer: [original] });
  } catch {
    throw typeError('an ArrayBuffer that can be transferred', name, array.buffer);
  }
  return new (array.constructor as new (buffer: ArrayBuffer, offset: number, length: number) => T)(
    buffer,
    byteOffset,
    length,
  );
}

/** Throws what a native status says, if it says anything. */
export function throwStatus(status: NativeStatus | null): void {
  if (status !== null) throw statusError(status);
}

function statusError({ code, message }: NativeStatus): Error {
  return errorOfCode(code === 'cancelled' ? 'ERR_COVN_ADDON' : code, message);
}

/** Runs a job of the addon. `request` goes to it as it is, with `threads` added. */
export function runJob<T>(start: StartJob, request: object, { signal, onProgress, threads }: JobOptions): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const failed: { reason?: unknown } = {};
    const report = (fraction: number) => {
      try {
        onProgress?.(fraction);
      } catch (error) {
        // The caller's own error ends the call, as an exception from a callback should.
        if (!('reason' in failed)) failed.reason = error;
        if (typeof id === 'number') addon().cancelJob(id);
      }
    };
    const abort = () => {
      if (typeof id === 'number') addon().cancelJob(id);
    };
    const settled = (status: NativeStatus | null, result: unknown) => {
      signal?.removeEventListener('abort', abort);
      if (status === null) report(1);
      if (signal?.aborted) reject(signal.reason);
      else if ('reason' in failed) reject(failed.reason);
      else if (status !== null) reject(statusError(status));
      else resolve(result as T);
    };
    const id = start({ ...request, threads: threads ?? 0 }, settled, onProgress && report);
    if (typeof id !== 'number') return reject(statusError(id));
    signal?.addEventListener('abort', abort, { once: true });
  });
}
