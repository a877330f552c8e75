import type { NumberList } from '../validate.ts';

/** A statistic with its confidence interval. */
export interface Estimate {
  /** Point estimate, in the statistic's own unit (probabilities in [0, 1], means in nats or reward units). */
  readonly value: number;
  /** Lower end of the interval. */
  readonly lower: number;
  /** Upper end of the interval. */
  readonly upper: number;
  /** Nominal confidence level in (0, 1), for example 0.95. */
  readonly confidence: number;
  /** How the interval was made, for example 'clopper-pearson', 't', 'bca', 'cluster-t'. */
  readonly method: string;
  /** Number of observations behind it (responses, or problems). */
  readonly n: number;
}

/** Options that every estimate takes. */
export interface EstimateOptions {
  /** Nominal confidence level in (0, 1). Default 0.95. */
  readonly confidence?: number;
  /**
   * One label per observation: observations with the same label (several responses to one prompt, sentences of
   * one document) are dependent, and intervals become cluster-robust.
   */
  readonly clusters?: NumberList | readonly string[];
}
