import { addon } from '../native/index.ts';
import {
  asyncKeys,
  type HiddenInput,
  hiddenRequest,
  type ScoreOptions,
  type ScoreSyncOptions,
  type Scores,
  syncKeys,
} from './request.ts';
import { score, scoreSync } from './score.ts';

/**
 * What `scoreLogits` gives for the logits `x_j = sum_k hidden[r, k] weight[j, k] + bias[j]` (with a soft-cap c then
 * `c tanh(x_j / c)`), without a matrix of logits: the log-sum-exp is formed as tiles of the product come, and the extra
 * memory is that of the outputs, some 24 bytes a row, and about 30 MB.
 *
 * Products are summed in float, as every float32 matrix product does, in chains of 256 (512 for bf16 where the processor
 * has dot products of pairs, AVX512_BF16); a logit x is off by about 1e-7 sqrt(width) |x| at most, and what follows is as
 * accurate as `scoreLogits`. The result has the same bits for any number of threads, any split of the batch and any order
 * of its rows. With `ownership: 'transfer'` both arrays are taken, and with 'borrow' both lie in SharedArrayBuffers.
 *
 * @throws what `scoreLogits` throws, as a rejection; ERR_COVN_NON_FINITE names the first row whose logits hold a NaN or a
 *   +inf, or are all -inf
 */
export async function scoreHidden(input: HiddenInput, options: ScoreOptions = {}): Promise<Scores> {
  return score('scoreHidden', hiddenRequest(input, options, asyncKeys), options);
}

/** `scoreHidden` on the calling thread, reading the arrays in place: for small inputs. Throws what that rejects with. */
export function scoreHiddenSync(input: HiddenInput, options: ScoreSyncOptions = {}): Scores {
  return scoreSync(addon().scoreHiddenSync, hiddenRequest(input, options, syncKeys));
}
