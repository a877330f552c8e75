import { type Device, resolveDevice, returning, runJob, takeInput } from '../native/index.ts';
import { checkKnownKeys, checkObject } from '../validate.ts';
import { checkMatrix, checkNs, type LogProbMatrix, type MatrixOptions, matrixKeys } from './input.ts';

export interface PairwiseInput extends LogProbMatrix, MatrixOptions {
  /** One N or several, each a real number >= 1. */
  readonly N: number | readonly number[];
  /** Default 'auto'. */
  readonly device?: Device;
}

/**
 * Pairwise empirical coverage (Eq. 28, arXiv 2510.15020) of models on the same responses:
 * element (k, i, j) of the result is `Cov^_N(j ‖ i) = (1/n) #{ y : log pi_j(y|x) - log pi_i(y|x) >= log N }` for
 * N = N[k], exactly, in `>=` on the double difference. Two log-probs of -Infinity do not count.
 *
 * @returns [|N|, M, M], row-major, probabilities; with `ownership: 'transfer'` it has the input back as its property
 *   `logProbs`
 * @throws (as a rejection) TypeError, RangeError, CovnError ERR_COVN_NON_FINITE or ERR_COVN_DEVICE, the signal's reason
 */
export async function pairwiseCoverage(input: PairwiseInput): Promise<Float64Array & { logProbs?: Float64Array }> {
  checkObject(input, 'the input');
  checkKnownKeys(input, [...matrixKeys, 'device'], 'the input');
  const n = checkMatrix(input, input);
  const thresholds = Float64Array.from(checkNs(input.N), Math.log);
  const target = resolveDevice(input.device, 'pairwiseCounts');
  input.signal?.throwIfAborted();
  const logProbs = takeInput(input.logProbs, input.ownership ?? 'copy', 'logProbs');
  const handBack = input.ownership === 'transfer' && { logProbs };
  const request = { logProbs, models: input.models, thresholds, target };
  const counts = await returning(handBack, () => runJob<Float64Array>('pairwiseCounts', request, input));
  const shares = counts.map((count) => count / n);
  return handBack ? Object.assign(shares, handBack) : shares;
}
