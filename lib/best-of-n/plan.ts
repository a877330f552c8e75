/** What is to be drawn and what comes of it, whichever way that happens. */

import type { SequenceModel } from '../model/index.ts';
import type { CheckedReward } from './rewards.ts';

export interface Plan {
  readonly model: SequenceModel;
  readonly prompts: Int32Array;
  readonly N: number;
  readonly reward: CheckedReward;
  readonly seed: number;
  readonly maxLength: number;
  /** The least reward that is a success; undefined: none is. */
  readonly success: number | undefined;
  /** Numbers of draws, ascending, N last. */
  readonly sizes: Float64Array;
  /** How many of the best responses of each prompt are kept. */
  readonly kept: number;
  /** Whether every reward and log-prob is. */
  readonly stored: boolean;
}

/** Arrays [prompts, ...]. */
export interface Reduced {
  /** [prompts, sizes] */
  readonly successes: Float64Array;
  /** [prompts, sizes] */
  readonly bestRewards: Float64Array;
  /** [prompts, kept], best first. */
  readonly keptRewards: Float64Array;
  readonly keptSamples: Float64Array;
  /** [prompts, 5]: of rewards, their squared distances from their mean, log-probs, lengths, and the number that ended. */
  readonly sums: Float64Array;
  /** [prompts, N] */
  readonly rewards: Float64Array | undefined;
  readonly logProbs: Float64Array | undefined;
}

export function makeReduced({ prompts, sizes, kept, stored, N }: Plan): Reduced {
  const array = (each: number) => new Float64Array(prompts.length * each);
  return {
    successes: array(sizes.length),
    bestRewards: array(sizes.length),
    keptRewards: array(kept),
    keptSamples: array(kept),
    sums: array(5),
    rewards: stored ? array(N) : undefined,
    logProbs: stored ? array(N) : undefined,
  };
}
