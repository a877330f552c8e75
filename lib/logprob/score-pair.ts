import { type Estimate, type EstimateOptions, meanEstimate } from '../estimate/index.ts';
import { checkKnownKeys, checkNumber, checkObject } from '../validate.ts';
import { type LogitsArray, type PairArrays, type PairInput, type PairOptions, pairRequest } from './request.ts';
import { score } from './score.ts';

/** The terms of the sums in `PairScores` [rows], rounded to float; NaN where not scored. */
export interface TokenPairScores {
  readonly logRatio: Float32Array;
  readonly kl: Float32Array;
  readonly hellinger: Float32Array;
}

interface PairFound extends PairArrays {
  readonly nonFiniteRows: Float64Array;
  readonly device: string;
  readonly reference?: LogitsArray;
  readonly model?: LogitsArray;
}

/** What `scorePair` found, response by response: sums over the scored tokens, in double; 0 for no tokens. */
export class PairScores {
  /**
   * [responses], nats: log p(y|x) - log q(y|x), as `coverageProfile` takes it. +Infinity where q gives a token
   * probability 0, -Infinity where p does, NaN where both do.
   */
  readonly logRatio: Float64Array;
  /**
   * [responses], nats, >= 0: sum_h KL(p(.|x,y_<h) ‖ q(.|x,y_<h)), exact over the vocabulary. +Infinity where q gives
   * probability 0 to a token that p does not.
   */
  readonly kl: Float64Array;
  /** [responses], >= 0: sum_h D_H^2 of the token distributions, D_H^2(P, Q) = 1/2 sum (sqrt P - sqrt Q)^2 (App. F). */
  readonly hellinger: Float64Array;
  /** With `outputs: { token: true }`. */
  readonly token?: TokenPairScores;
  /** Rows that `nonFinite: 'propagate'` let through, ascending: either model's logits were not finite there. */
  readonly nonFiniteRows: Float64Array;
  /** The device that ran the call. */
  readonly device: string;
  /** With `ownership: 'transfer'`: the logits, handed back. */
  readonly reference?: LogitsArray;
  readonly model?: LogitsArray;

  /** @internal */
  constructor({ tokenLogRatio, tokenKl, tokenHellinger, ...found }: PairFound) {
    this.logRatio = found.logRatio;
    this.kl = found.kl;
    this.hellinger = found.hellinger;
    this.nonFiniteRows = found.nonFiniteRows;
    this.device = found.device;
    if (tokenLogRatio && tokenKl && tokenHellinger) {
      this.token = { logRatio: tokenLogRatio, kl: tokenKl, hellinger: tokenHellinger };
    }
    if (found.reference) this.reference = found.reference;
    if (found.model) this.model = found.model;
  }

  /**
   * The stopped KL D_seq,N = E_p[min(log N, sum_h KL_h)] (Eq. 50, arXiv 2510.15020) in nats, as the mean over the
   * responses, which were drawn from p; in [0, log N]. `bounds.stoppedKlToCoverage` turns it into a bound on Cov_N.
   * @param N finite, > 1
   * @param options `confidence`, and `clusters` with one label a response; the interval is `meanEstimate`'s, t for 30
   *   responses or more, and allows for rare values up to log N that the sample missed
   * @throws RangeError for another N, or no responses; CovnError ERR_COVN_NON_FINITE where a response's KL is NaN
   */
  stoppedKl(N: number, options: EstimateOptions = {}): Estimate {
    const limit = Math.log(checkNumber(N, 'N', 1, Number.POSITIVE_INFINITY, true));
    checkObject(options, 'options');
    checkKnownKeys(options, ['confidence', 'clusters'], 'options');
    const stopped = this.kl.map((kl) => Math.min(limit, kl));
    return meanEstimate(stopped, { ...options, range: [0, limit] }, 'kl');
  }
}

/**
 * Two models compared on the same tokens, from one reading of both models' logits: log ratios, exact token KL and squared
 * Hellinger distances, summed over responses.
 *
 * A token's KL, squared Hellinger distance and log ratio are within 1e-6 of exact arithmetic for logits of standard
 * deviation up to 5 and 2e-6 up to 30; equal logits give 0 exactly. Errors of terms average out; in a row of two or three
 * values that repeat they cannot, and the KL may be off by their differences times 1e-6. The result has the same bits for any number of
 * threads and any split of the batch. Runs off the event loop on covn's own threads.
 *
 * @throws TypeError (ERR_COVN_DTYPE), RangeError (ERR_COVN_SHAPE, ERR_COVN_RANGE), CovnError (ERR_COVN_NON_FINITE, naming
 *   the row and which model's it is; ERR_COVN_DEVICE, ERR_COVN_ADDON), or the reason of `signal`: always as a rejection
 */
export async function scorePair(input: PairInput, options: PairOptions = {}): Promise<PairScores> {
  return new PairScores(await score('scorePair', pairRequest(input, options), options));
}
