/** Asynchronous native jobs: cancellation, progress, and who owns the input while one runs. */

import { setImmediate } from 'node:timers/promises';
import { types } from 'node:util';
import { errorOfCode, typeError } from '../errors.ts';
import { checkInteger } from '../validate.ts';
import type { NativeStatus } from './addon.ts';
import { type Operation, openingStarter, type Starter, starterOf } from './devices.ts';

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
 * - 'copy' (default): the call works on a private copy, made before it returns; that takes time on the event loop, about
 *   a millisecond for 10 MB.
 * - 'transfer': the ArrayBuffer is taken without copying, and no view of it works any more; the result hands the data
 *   back. So does a rejection whose reason is an object: `reason.returned.logits`, where the result has `logits`.
 * - 'borrow': the data are in a SharedArrayBuffer and read in place. Whoever writes to it meanwhile changes the result.
 */
export type Ownership = 'copy' | 'transfer' | 'borrow';

type Numeric = Float32Array | Float64Array | Uint16Array;

/** A seed as the addon reads it: the low and the high word. */
export function seedWords(seed: unknown): Uint32Array {
  const whole = checkInteger(seed, 'seed', 0);
  return Uint32Array.of(whole % 2 ** 32, Math.floor(whole / 2 ** 32));
}

export function checkJobOptions(options: JobOptions): void {
  if (options.threads !== undefined) checkInteger(options.threads, 'threads', 1, 4096);
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal)) {
    throw typeError('an AbortSignal', 'signal', options.signal);
  }
  if (options.onProgress !== undefined && typeof options.onProgress !== 'function') {
    throw typeError('a function', 'onProgress', options.onProgress);
  }
}

/** Where an array's elements lie, whatever its own or its class's properties say. */
const bufferOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), 'buffer')?.get as (
  this: ArrayBufferView,
) => ArrayBufferLike;

export function isShared(array: ArrayBufferView): boolean {
  return types.isSharedArrayBuffer(bufferOf.call(array));
}

/** The built-in class of an array: a caller's own could keep what it is asked to make. */
function builtInOf(array: Numeric | Int32Array) {
  if (types.isFloat32Array(array)) return Float32Array;
  if (types.isFloat64Array(array)) return Float64Array;
  return types.isInt32Array(array) ? Int32Array : Uint16Array;
}

/** A copy that nobody else holds. A detached array has no elements, and copying it would throw an error without a code. */
export function privateCopy<A extends Numeric | Int32Array>(array: A): A {
  const BuiltIn = builtInOf(array);
  return (types.isArrayBuffer(bufferOf.call(array)) && array.length === 0 ? new BuiltIn() : new BuiltIn(array)) as A;
}

/** Throws unless the mode is known and the array's buffer fits it. Nothing is taken yet. */
export function checkOwnership(array: Numeric, ownership: Ownership, name: string): void {
  const shared = isShared(array);
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
  if (ownership === 'copy') return privateCopy(array);
  const { byteOffset, length } = array;
  let buffer: ArrayBuffer;
  try {
    const original = bufferOf.call(array) as ArrayBuffer;
    buffer = structuredClone(original, { transfer: [original] });
  } catch {
    throw typeError('an ArrayBuffer that can be transferred', name, array.buffer);
  }
  return new (builtInOf(array))(buffer, byteOffset, length) as T;
}

/** Throws what a native status says, if it says anything. */
export function throwStatus(status: NativeStatus | null): void {
  if (status !== null) throw statusError(status);
}

function statusError({ code, message }: NativeStatus): Error {
  return errorOfCode(code === 'cancelled' ? 'ERR_COVN_ADDON' : code, message);
}

/** Gives a transferred input back with whatever the call is rejected with. */
export async function returning<T>(taken: object | false, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (reason) {
    if (taken && typeof reason === 'object' && reason !== null && Object.isExtensible(reason)) {
      Object.assign(reason, { returned: taken });
    }
    throw reason;
  }
}

// One listener a signal, however many calls share it (Node warns of a leak at more than ten), and none without a call: a
// signal that follows others is held as long as it has one.
const cancelBy = new WeakMap<AbortSignal, { readonly cancels: Set<() => void>; readonly cancelAll: () => void }>();

function onAbort(signal: AbortSignal, cancel: () => void): void {
  let by = cancelBy.get(signal);
  if (!by) {
    const cancels = new Set<() => void>();
    const cancelAll = () => {
      for (const each of cancels) each();
    };
    by = { cancels, cancelAll };
    cancelBy.set(signal, by);
    signal.addEventListener('abort', cancelAll, { once: true });
  }
  by.cancels.add(cancel);
}

function offAbort(signal: AbortSignal, cancel: () => void): void {
  const by = cancelBy.get(signal);
  if (!by) return;
  by.cancels.delete(cancel);
  if (by.cancels.size > 0) return;
  signal.removeEventListener('abort', by.cancelAll);
  cancelBy.delete(signal);
}

/** `onProgress` called no more often than the addon's jobs do: at most about 20 times a second, and for the end. */
export function limitProgress(onProgress: JobOptions['onProgress']): (fraction: number) => void {
  let last = Number.NEGATIVE_INFINITY;
  return (fraction) => {
    const now = performance.now();
    if (!onProgress || (fraction < 1 && now - last < 50)) return;
    last = now;
    onProgress(fraction);
  };
}

/** Work with a signal of its own, which follows another and aborts when the work fails: what it began then ends too. */
export async function withSignal<T>(
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  outer?.throwIfAborted();
  const own = new AbortController();
  const follow = () => own.abort(outer?.reason);
  if (outer) onAbort(outer, follow);
  try {
    const result = await work(own.signal);
    outer?.throwIfAborted(); // by the last report, which nothing of the work comes after
    return result;
  } catch (reason) {
    own.abort(reason);
    throw outer?.aborted ? outer.reason : reason;
  } finally {
    if (outer) offAbort(outer, follow);
  }
}

/**
 * What the work of others comes to, or the signal's reason as soon as it aborts. (Promise.race with one promise for all
 * calls would keep what each of them came to.)
 */
export function untilAborted<T>(work: T | PromiseLike<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else onAbort(signal, stop);
    // Whatever became of the signal: a rejection that nobody takes would end the process.
    Promise.resolve(work)
      .then(resolve, reject)
      .finally(() => offAbort(signal, stop));
  });
}

/** Lets timers and other events have their turn when the last one was longer ago than this, in milliseconds. */
const TURN = 10;

/** A function to await between pieces of work that might never leave the JavaScript thread. */
export function takeTurns(): () => Promise<void> | undefined {
  let start = performance.now();
  return () => {
    if (performance.now() - start < TURN) return undefined;
    return setImmediate().then(() => {
      start = performance.now();
    });
  };
}

/**
 * Runs a job of the addon that the request's `target` belongs to. `request` goes to it as it is, with `threads` added.
 */
export async function runJob<T>(operation: Operation, request: object, options: JobOptions): Promise<T> {
  options.signal?.throwIfAborted();
  const { target } = request as { readonly target?: string };
  const native = starterOf(operation, target);
  // What would make the JavaScript thread wait: to wake the GPU, the first time, and to ask it for free memory.
  if (target === 'cuda') {
    const opened = runStarter(openingStarter(), {}, {});
    await (options.signal ? untilAborted(opened, options.signal) : opened);
  }
  return runStarter(native, request, options);
}

function runStarter<T>(native: Starter, request: object, { signal, onProgress, threads }: JobOptions): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const failed: { reason?: unknown } = {};
    const cancel = () => {
      if (typeof id === 'number') native.cancelJob(id);
    };
    const report = (fraction: number) => {
      try {
        onProgress?.(fraction);
      } catch (error) {
        // The caller's own error ends the call, as an exception from a callback should.
        if (!('reason' in failed)) failed.reason = error;
        cancel();
      }
    };
    const settled = (status: NativeStatus | null, result: unknown) => {
      if (signal) offAbort(signal, cancel);
      if (status === null) report(1);
      if (signal?.aborted) reject(signal.reason);
      else if ('reason' in failed) reject(failed.reason);
      else if (status !== null) reject(statusError(status));
      else resolve(result as T);
    };
    const id = native.start({ ...request, threads: threads ?? 0 }, settled, onProgress && report);
    if (typeof id !== 'number') return reject(statusError(id));
    if (signal) onAbort(signal, cancel);
  });
}
