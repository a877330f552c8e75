/** How checked requests are scored: on covn's threads, or on the calling one. */

import { CovnError, typeError } from '../errors.ts';
import {
  checkJobOptions,
  checkOwnership,
  deviceName,
  isShared,
  type JobOptions,
  type NativeStatus,
  type Operation,
  type Ownership,
  privateCopy,
  returning,
  runJob,
  takeInput,
  throwStatus,
} from '../native/index.ts';
import type { LogitsArray, ScoreRequest, Scores } from './request.ts';

/** Refuses what cannot be taken: a buffer is transferred once. */
function checkBuffers(arrays: ScoreRequest['arrays'], ownership: Ownership): void {
  for (const [name, array] of Object.entries(arrays)) checkOwnership(array, ownership, name);
  const buffers = Object.values(arrays).map(({ buffer }) => buffer);
  if (ownership === 'transfer' && new Set(buffers).size < buffers.length) {
    throw typeError("a buffer each (ownership: 'transfer')", Object.keys(arrays).join(' and '), buffers[0]);
  }
}

/** Private targets; borrowed ones are read in place. */
function takeTargets(targets: Int32Array, ownership: Ownership): Int32Array {
  if (ownership === 'borrow' && isShared(targets)) return targets;
  return privateCopy(targets);
}

/** Runs one of the addon's scoring jobs on covn's threads. */
export async function score<Outputs extends object>(
  operation: Operation,
  { request, arrays, outputs }: ScoreRequest<Outputs>,
  options: JobOptions & { readonly ownership?: Ownership },
) {
  const { ownership = 'copy' } = options;
  checkJobOptions(options);
  checkBuffers(arrays, ownership);
  options.signal?.throwIfAborted();
  // Before the arrays are taken: the targets may lie in a buffer of theirs.
  const targets = takeTargets(request.targets, ownership);
  const taken: Record<string, LogitsArray> = {};
  const handBack = ownership === 'transfer' && taken;
  const nonFiniteRows = await returning(handBack, async () => {
    for (const [name, array] of Object.entries(arrays)) taken[name] = takeInput(array, ownership, name);
    return runJob<Float64Array>(operation, { ...request, ...taken, targets, ...outputs }, options);
  });
  return { ...outputs, nonFiniteRows, device: deviceName(request.target), ...handBack };
}

/** The same on the calling thread, reading the arrays in place. */
export function scoreSync(
  run: (request: object) => Float64Array | NativeStatus,
  { request, arrays, outputs }: ScoreRequest,
): Scores {
  const result = run({ ...request, ...arrays, ...outputs });
  if (!(result instanceof Float64Array)) {
    throwStatus(result);
    throw new CovnError('ERR_COVN_ADDON', 'Expected a result from the native addon but received nothing');
  }
  return { ...outputs, nonFiniteRows: result, device: deviceName(request.target) };
}
