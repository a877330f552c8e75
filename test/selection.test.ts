/** Prop E.1: minimum cross-entropy fails with a probability that is computed exactly; the tournament does not. */

import { describe, expect, test } from 'vitest';
import { tournament } from '../lib/index.ts';
import { testRandom } from './oracles/logprob.ts';

/**
 * x in {+, -} with mu(-) = p = alpha^2 / (32 log M), y in {0, 1}, pi_D = Ber(1/2) for both. Model 1 gives y = 1 after + the
 * probability 1 / (2 e^alpha), model 2 gives it after - the probability 1 / (2 M); else both are pi_D.
 */
interface PropE1 {
  readonly alpha: number;
  readonly M: number;
}

const shareOfMinus = ({ alpha, M }: PropE1) => alpha ** 2 / (32 * Math.log(M));

/** log C(n, k) for k = 0 .. n. */
function logChoose(n: number): Float64Array {
  const logs = new Float64Array(n + 1);
  for (let k = 1; k <= n; k++) logs[k] = logs[k - 1]! + Math.log((n - k + 1) / k);
  return logs;
}

/** P(X <= k), k = 0 .. n, for X ~ Binomial(n, 1/2). */
function fairCdf(n: number): Float64Array {
  let sum = 0;
  return logChoose(n).map((log) => {
    sum += Math.exp(log - n * Math.LN2);
    return sum;
  });
}

/**
 * The probability that model 2 has the larger likelihood of n pairs: a sum over the number of - and how many of them have
 * y = 1; the number of + with y = 1 must then be large enough. Numbers of - beyond 12 standard deviations are left out.
 */
function failureOfCrossEntropy(instance: PropE1, n: number): number {
  const { alpha, M } = instance;
  const p = shareOfMinus(instance);
  const chooseMinus = logChoose(n);
  const most = Math.min(n, Math.ceil(n * p + 12 * Math.sqrt(n * p) + 20));
  let total = 0;
  for (let minus = 0; minus <= most; minus++) {
    const weight = Math.exp(chooseMinus[minus]! + minus * Math.log(p) + (n - minus) * Math.log1p(-p));
    const plus = n - minus;
    const cdf = fairCdf(plus);
    for (const [k, log] of logChoose(minus).entries()) {
      // log-likelihood of model 1 minus that of model 2: `fixed` - ones * (alpha + log(2 - e^-alpha))
      const gain = Math.log(2 - Math.exp(-alpha));
      const fixed = plus * gain + k * Math.log(M) - (minus - k) * Math.log(2 - 1 / M);
      const enough = Math.floor(fixed / (alpha + gain)) + 1;
      const fails = enough <= 0 ? 1 : enough > plus ? 0 : 1 - cdf[enough - 1]!;
      total += weight * Math.exp(log - minus * Math.LN2) * fails;
    }
  }
  return total;
}

/** Log-probs of both models on n pairs drawn from pi_D, [2, n]. */
function draw(instance: PropE1, n: number, seed: number): Float64Array {
  const random = testRandom(seed);
  const logProbs = new Float64Array(2 * n);
  const off = (low: number, y: number) => Math.log(y === 1 ? low : 1 - low);
  for (let r = 0; r < n; r++) {
    const minus = random.uniform() < shareOfMinus(instance);
    const y = random.integer(2);
    logProbs[r] = minus ? Math.log(0.5) : off(1 / (2 * Math.exp(instance.alpha)), y);
    logProbs[n + r] = minus ? off(1 / (2 * instance.M), y) : Math.log(0.5);
  }
  return logProbs;
}

describe('Prop E.1', () => {
  test('least cross-entropy fails with probability at least 1/4, whatever n', () => {
    for (const [alpha, M, n] of [
      [2, 1e6, 1],
      [2, 1e6, 10],
      [2, 1e6, 1000],
      [1, 1e3, 500],
      [0.5, 1e6, 2000],
      [0.1, 1e6, 100],
      [0.1, 100, 3000],
    ] as const) {
      expect(failureOfCrossEntropy({ alpha, M }, n)).toBeGreaterThanOrEqual(0.25);
    }
  });

  // Cross-entropy fails on all but 1e-9 of such data sets. The tournament fails only where no - with y = 1 was seen:
  // (1 - p/2)^n = e^-15 each, a false alarm in 1.5e-5 of runs.
  test('on 50 large data sets cross-entropy always fails, the tournament never', async () => {
    const instance = { alpha: 0.75, M: 1e3 };
    const n = Math.ceil(30 / shareOfMinus(instance));
    const exact = failureOfCrossEntropy(instance, n);
    expect(exact).toBeGreaterThan(1 - 1e-9);
    const N = Math.exp(instance.alpha) * 1.01;
    const sets = 50;
    let [failures, right] = [0, 0];
    for (let seed = 0; seed < sets; seed++) {
      const t = await tournament({ logProbs: draw(instance, n, 1000 + seed), models: 2, N, bootstrap: 100 });
      failures += t.minCrossEntropy;
      right += t.winner === 0 ? 1 : 0;
      expect(t.scores[0]).toBe(0);
    }
    expect([right, failures]).toEqual([sets, sets]);
  });

  test('and on few pairs as computed: a choice that is nearly even', async () => {
    const instance = { alpha: 0.1, M: 1e6 };
    const n = 40;
    const exact = failureOfCrossEntropy(instance, n);
    expect(exact).toBeGreaterThan(0.25);
    expect(exact).toBeLessThan(0.75);
    const sets = 1000;
    let failures = 0;
    for (let seed = 0; seed < sets; seed++) {
      const t = await tournament({ logProbs: draw(instance, n, 5000 + seed), models: 2, N: 2, bootstrap: 100 });
      failures += t.minCrossEntropy;
    }
    // Binomial with the exact probability: 5 standard deviations, false alarm 1e-6.
    expect(Math.abs(failures - sets * exact)).toBeLessThanOrEqual(5 * Math.sqrt(sets * exact * (1 - exact)));
  });
});
