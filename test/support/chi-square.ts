/** Pearson's test of counts. */

import { normalQuantile } from '../../lib/estimate/special.ts';

/**
 * How far counts are from what is expected, as a share of what is exceeded with probability `falseAlarm` (Wilson and
 * Hilferty's approximation): above 1 where they do not fit. Cells expected fewer than 10 times are taken together.
 */
export function chiSquareShare(seen: readonly number[], expected: readonly number[], falseAlarm: number): number {
  let [statistic, cells, restSeen, restExpected] = [0, 0, 0, 0];
  const add = (n: number, mean: number) => {
    statistic += (n - mean) ** 2 / mean;
    cells++;
  };
  for (const [i, mean] of expected.entries()) {
    if (mean >= 10) add(seen[i]!, mean);
    else {
      restSeen += seen[i]!;
      restExpected += mean;
    }
  }
  if (restExpected >= 10) add(restSeen, restExpected);
  if (cells < 2) throw new Error('too few cells for a test');
  const degrees = cells - (restExpected >= 10 || restExpected === 0 ? 1 : 0);
  const spread = 2 / (9 * degrees);
  return statistic / (degrees * (1 - spread - normalQuantile(falseAlarm) * Math.sqrt(spread)) ** 3);
}
