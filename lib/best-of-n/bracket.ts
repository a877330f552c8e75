/** What a coverage profile says of Pass@N, beside Pass@N as measured. */

import { CoverageProfile } from '../coverage/index.ts';
import { shapeError, typeError } from '../errors.ts';
import type { Estimate } from '../estimate/index.ts';
import { checkKnownKeys, checkNumber, checkObject } from '../validate.ts';
import { checkSizes } from './over.ts';

/** Measured Pass@N between the worst that the coverage profile allows and what it cannot promise. */
export interface PassBracket {
  /** Number of draws. */
  readonly N: number;
  /** `accuracy` - `bestOfN(N).upper` (Prop D.6), at least 0: promised for every 0/1 reward of that accuracy under pi_D. */
  readonly lower: number;
  /**
   * `accuracy` - `bestOfN(N).lower` (Prop D.7), at least 0: no promise of this form that holds for every 0/1 reward can be
   * higher, as some reward loses that much against pi_D. A reward that is easier than the worst has a Pass@N above it.
   */
  readonly upper: number;
  /** The same through the profile's simultaneous band. */
  readonly band: { readonly lower: number; readonly upper: number };
  readonly measured: Estimate;
  /** Whether the measured value lies in [lower, upper]. */
  readonly inside: boolean;
  /**
   * Whether the whole interval of `measured` lies below `band.lower`. No reward can do that, but
   * by chance (the band and the interval each miss with probability 1 - confidence at most): the prompts, the model, its
   * sampling or the accuracy are then others than the profile's.
   */
  readonly contradicts: boolean;
}

/** Options of {@link passBracket}. */
export interface PassBracketOptions {
  /** The probability that a response from pi_D is right, in [0, 1]. Default 1: pi_D is never wrong. */
  readonly accuracy?: number;
}

/**
 * Pass@N with a 0/1 reward is the expected reward of Best-of-N, and `accuracy - Pass@N` its regret against pi_D, which
 * `profile.bestOfN(N)` brackets for the worst reward (Prop D.6 and D.7, arXiv 2510.15020). The bracket is about that worst
 * reward: one reward's Pass@N is certain to be at least `lower` (at the estimated profile; with the profile's
 * confidence, `band.lower`), and may be above `upper`.
 *
 * @param profile of the model that was sampled, on prompts like those of the problems
 * @param N whole numbers >= 1
 * @param measured Pass@N at each N, as `passAtN(..., N)` gives it
 * @returns a row for each N
 * @throws TypeError, RangeError
 */
export function passBracket(
  profile: CoverageProfile,
  N: readonly number[],
  measured: readonly Estimate[],
  options: PassBracketOptions = {},
): PassBracket[] {
  if (!(profile instanceof CoverageProfile)) throw typeError('a CoverageProfile', 'profile', profile);
  if (!Array.isArray(N)) throw typeError('an array of numbers', 'N', N);
  if (!Array.isArray(measured)) throw typeError('an array of estimates', 'measured', measured);
  checkObject(options, 'options');
  checkKnownKeys(options, ['accuracy'], 'options');
  const accuracy = checkNumber(options.accuracy ?? 1, 'accuracy', 0, 1);
  const sizes = checkSizes(N);
  if (measured.length !== sizes.length) throw shapeError(`${sizes.length} estimates`, 'measured', `${measured.length}`);
  const pass = (regret: { lower: number; upper: number }) => ({
    lower: Math.max(0, accuracy - regret.upper),
    upper: Math.max(0, accuracy - regret.lower),
  });
  return sizes.map((size, i) => {
    const regret = profile.bestOfN(size);
    const { lower, upper } = pass(regret);
    const band = pass(regret.band);
    const estimate = measured[i]!;
    checkObject(estimate as unknown, `measured[${i}]`);
    for (const part of ['value', 'lower', 'upper'] as const)
      checkNumber(estimate[part], `measured[${i}].${part}`, 0, 1);
    const inside = estimate.value >= lower && estimate.value <= upper;
    return { N: size, lower, upper, band, measured: estimate, inside, contradicts: estimate.upper < band.lower };
  });
}
