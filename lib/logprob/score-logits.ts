import { typeError } from '../errors.ts';
import { addon, throwStatus } from '../native/index.ts';
import { checkOffsets } from '../validate.ts';
import {
  asyncKeys,
  type LogitsInput,
  logitsRequest,
  type ScoreOptions,
  type ScoreSyncOptions,
  type Scores,
  syncKeys,
} from './request.ts';
import { score, scoreSync } from './score.ts';

/**
 * Log-probs of target tokens from logits, `log pi(y_h | x, y_<h) = x_t / T - log sum_j exp(x_j / T)`, and their sums over
 * responses, `log pi(y | x)` (Sec. 2, arXiv 2510.15020), in nats relative to the stored logits.
 *
 * A token's absolute error is at most 1e-6 nats for logits of standard deviation up to 5 and 2e-6 up to 30 (measured:
 * below 5e-7) before it is rounded to float; the mean signed error is below 1e-8 nats. The result has the same bits for
 * any number of threads and any split of the batch. Runs off the event loop on covn's own threads.
 *
 * @throws TypeError (ERR_COVN_DTYPE), RangeError (ERR_COVN_SHAPE, ERR_COVN_RANGE), CovnError (ERR_COVN_NON_FINITE,
 *   ERR_COVN_DEVICE, ERR_COVN_ADDON), or the reason of `signal`: always as a rejection
 */
export async function scoreLogits(input: LogitsInput, options: ScoreOptions = {}): Promise<Scores> {
  return score('scoreLogits', logitsRequest(input, options, asyncKeys), options);
}

/** `scoreLogits` on the calling thread, reading the arrays in place: for small inputs. Throws what that rejects with. */
export function scoreLogitsSync(input: LogitsInput, options: ScoreSyncOptions = {}): Scores {
  return scoreSync(addon().scoreLogitsSync, logitsRequest(input, options, syncKeys));
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
