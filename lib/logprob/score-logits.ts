import { CovnError, typeError } from '../errors.ts';
import { addon, checkJobOptions, checkOwnership, returning, runJob, takeInput, throwStatus } from '../native/index.ts';
import { checkOffsets } from '../validate.ts';
import {
  asyncKeys,
  type LogitsInput,
  type ScoreOptions,
  type ScoreSyncOptions,
  type Scores,
  scoreRequest,
} from './request.ts';

/**
 * Log-probs of target tokens from logits, `log pi(y_h | x, y_<h) = x_t / T - log sum_j exp(x_j / T)`, and their sums over
 * responses, `log pi(y | x)` (Sec. 2, arXiv 2510.15020), in nats relative to the stored logits.
 *
 * A token's absolute error is at most 1e-6 nats for logits of standard deviation up to 5 and 2e-6 up to 30 (measured:
 * below 1e-7) before it is rounded to float; the mean signed error is below 1e-8 nats. The result has the same bits for
 * any number of threads and any split of the batch. Runs off the event loop on covn's own threads.
 *
 * @throws TypeError (ERR_COVN_DTYPE), RangeError (ERR_COVN_SHAPE, ERR_COVN_RANGE), CovnError (ERR_COVN_NON_FINITE,
 *   ERR_COVN_DEVICE, ERR_COVN_ADDON), or the reason of `signal`: always as a rejection
 */
export async function scoreLogits(input: LogitsInput, options: ScoreOptions = {}): Promise<Scores> {
  const { request, outputs } = scoreRequest(input, options, asyncKeys);
  const { ownership = 'copy' } = options;
  checkJobOptions(options);
  checkOwnership(request.logits, ownership, 'logits');
  options.signal?.throwIfAborted();
  // Before the logits are taken: both may lie in one buffer.
  const targets = request.targets.length === 0 ? new Int32Array() : request.targets.slice();
  const logits = takeInput(request.logits, ownership, 'logits');
  const handBack = ownership === 'transfer' && { logits };
  const job = { ...request, logits, targets, ...outputs };
  const nonFiniteRows = await returning(handBack, () => runJob<Float64Array>(addon().scoreLogits, job, options));
  return { ...outputs, nonFiniteRows, device: request.target, ...handBack };
}

/** `scoreLogits` on the calling thread, reading the arrays in place: for small inputs. Throws what that rejects with. */
export function scoreLogitsSync(input: LogitsInput, options: ScoreSyncOptions = {}): Scores {
  const { request, outputs } = scoreRequest(input, options);
  const result = addon().scoreLogitsSync({ ...request, ...outputs });
  if (!(result instanceof Float64Array)) {
    throwStatus(result);
    throw new CovnError('ERR_COVN_ADDON', 'Expected a result from the native addon but received nothing');
  }
  return { ...outputs, nonFiniteRows: result, device: request.target };
}

/**
 * Sums of token log-probs over responses, as `scoreLogits` forms them: in double, in blocks of fixed size merged in
 * order. NaN (a token that was not scored) makes its response's sum NaN.
 *
 * @param tokenLogProbs [rows], nats: a Float32Array or Float64Array
 * @param offsets [responses + 1], from 0 to rows, never falling
 * @returns [responses], nats; 0 for a response without tokens
 */
export function sumTokens(tokenLogProbs: Float32Array | Float64Array, offsets: ArrayLike<number>): Float64Array {
  if (!(tokenLogProbs instanceof Float32Array || tokenLogProbs instanceof Float64Array)) {
    throw typeError('a Float32Array or a Float64Array', 'tokenLogProbs', tokenLogProbs);
  }
  const checked = checkOffsets(offsets, tokenLogProbs.length);
  const sums = new Float64Array(checked.length - 1);
  throwStatus(addon().sumTokens({ values: tokenLogProbs, offsets: checked, sums }));
  return sums;
}
