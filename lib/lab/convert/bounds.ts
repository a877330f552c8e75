/** The conversions of App. D beside what they bound, on an instance that is known exactly. */

import { bounds, coverageProfile } from '../../coverage/index.ts';
import type { Instance } from './instances.ts';

/** Thresholds of coverage, draws of Best-of-N. */
export const N = 8;
export const draws = 16;

/** A bound and the true value; `upper` bounds are at least that, others at most. */
export interface Comparison {
  readonly id: string;
  readonly upper: boolean;
  readonly bound: number;
  readonly value: number;
}

export const conversions = [
  { id: 'D.1', text: 'Cov_N from KL (D.1)' },
  { id: 'D.4', text: 'Cov_N from Hellinger (D.4)' },
  { id: 'D.10', text: 'Cov_N from stopped KL (D.10)' },
  { id: 'D.11', text: 'Cov_N, from below (D.11)' },
  { id: 'D.3', text: 'KL from Cov (D.3)' },
  { id: 'D.5', text: 'Cov_N of right ones (D.5)' },
  { id: 'D.6', text: 'regret from Cov (D.6)' },
  { id: 'D.7', text: 'regret, from below (D.7)' },
] as const;

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/**
 * The largest regret of Best-of-N over rewards that are 1 where the ratio is above some value, and 0 elsewhere: at most that
 * of the worst reward, and at least what Prop D.7 promises.
 */
function thresholdRegret({ atoms }: Instance): number {
  const sorted = [...atoms].sort((a, b) => b.logRatio - a.logRatio);
  let [data, model, worst] = [0, 0, 0];
  for (const { weight, logRatio } of sorted) {
    data += weight;
    model += weight * Math.exp(-logRatio);
    worst = Math.max(worst, data - 1 + Math.max(0, 1 - model) ** draws);
  }
  return worst;
}

/** The best of Prop D.11 over delta. */
function fromBelow({ atoms }: Instance): number {
  const deltas = Array.from({ length: 60 }, (_, k) => 10 ** (-k / 20 - 0.01));
  return Math.max(
    ...deltas.map((delta) => {
      const threshold = bounds.hellingerThreshold(N, delta);
      const reached = sum(atoms.filter(({ stepHellinger }) => stepHellinger >= threshold).map(({ weight }) => weight));
      return bounds.hellingerToCoverageLower(Math.min(1, reached), delta);
    }),
  );
}

/** The comparator of Prop D.5: pi_D given a right answer, which every other response is, by rank of its ratio. */
function rightOnes({ atoms }: Instance, coverageAt: (N: number) => number) {
  const right = atoms.filter((_, i) => i % 2 === 0);
  const share = sum(right.map(({ weight }) => weight));
  const shift = -Math.log(share);
  const reaches = ({ logRatio }: { logRatio: number }) => logRatio + shift >= Math.log(N);
  const value = sum(right.filter(reaches).map(({ weight }) => weight)) / share;
  // Above 1 / share nothing is left of the comparator's own coverage.
  const M2 = (1 / share) * (1 + 1e-12);
  const bound = M2 > N ? 1 : bounds.chainRule({ M1: N, M2, coverage: coverageAt(N / M2), comparator: 0 });
  return { bound, value };
}

/** D.3: the sup of Cov_N log N is reached at one of the ratios. */
function klFromCoverage({ atoms }: Instance): number {
  const sorted = [...atoms].sort((a, b) => b.logRatio - a.logRatio);
  let [reached, C] = [0, 0];
  for (const { weight, logRatio } of sorted) {
    reached += weight;
    if (logRatio > 0) C = Math.max(C, reached * logRatio);
  }
  return bounds.coverageToKl(Math.min(C, sorted[0]!.logRatio), Math.exp(sorted[0]!.logRatio));
}

/** Every conversion on an instance. */
export function compare(instance: Instance): Comparison[] {
  const { atoms } = instance;
  const weights = atoms.map(({ weight }) => weight);
  const profile = coverageProfile(
    atoms.map(({ logRatio }) => logRatio),
    { weights },
  );
  const coverage = profile.at(N).value;
  const kl = profile.kl.value;
  const affinity = sum(atoms.map(({ weight, logRatio }) => weight * Math.exp(-logRatio / 2)));
  const stopped = sum(atoms.map(({ weight, stepKl }) => weight * Math.min(Math.log(N), stepKl)));
  const regret = thresholdRegret(instance);
  const bracket = profile.bestOfN(draws);
  const of = (id: string, upper: boolean, bound: number, value: number) => ({ id, upper, bound, value });
  const chain = rightOnes(instance, (at) => profile.at(at).value);
  return [
    of('D.1', true, bounds.klToCoverage(Math.max(0, kl), N), coverage),
    of('D.4', true, bounds.hellingerToCoverage(Math.min(1, Math.max(0, 1 - affinity)), N), coverage),
    of('D.10', true, bounds.stoppedKlToCoverage(stopped, N), coverage),
    of('D.11', false, fromBelow(instance), coverage),
    of('D.3', true, klFromCoverage(instance), kl),
    of('D.5', true, chain.bound, chain.value),
    of('D.6', true, bracket.upper, regret),
    of('D.7', false, bracket.lower, regret),
  ];
}

/** Below this there is nothing to bound. */
export const nothing = 1e-6;

/** How many times the bound is off; undefined where it says nothing (0 from below) or there is nothing to bound. */
export function looseness({ upper, bound, value }: Comparison): number | undefined {
  if (value < nothing || bound < nothing) return undefined;
  return upper ? bound / value : value / bound;
}
