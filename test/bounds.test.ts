import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bounds } from '../lib/coverage/index.ts';
import {
  coverage,
  hellinger,
  kl,
  type Pair,
  pairs,
  probability,
  ratio,
  regret,
  stoppedKl,
  thresholds,
} from './oracles/distributions.ts';

// Both sides of every statement are sums over all responses of small random distributions; 1e-9 is for their rounding.
const SLACK = 1e-9;
const settings = { numRuns: 400, seed: 20251015 };

function forPairs(check: (pair: Pair, N: number) => void): void {
  fc.assert(fc.property(pairs, thresholds, check), settings);
}

describe('propositions hold on enumerated distributions', () => {
  it('Prop 3.1 / D.1: KL', () => {
    forPairs((pair, N) => {
      const divergence = Math.max(0, kl(pair.p, pair.q));
      const bound = bounds.klToCoverage(divergence, N);
      expect(coverage(pair, N)).toBeLessThanOrEqual(bound + SLACK);
      expect(bound).toBeCloseTo(Math.min(1, divergence / (Math.log(N) - 1 + 1 / N)), 4);
      if (N > 1.01 * Math.E) {
        expect(bound).toBeLessThanOrEqual(Math.min(1, divergence / Math.log(N / Math.E)) + SLACK);
      }
    });
  });

  it('Prop D.2: nearly tight for Bernoulli', () => {
    for (const p of [0.5, 0.1, 0.001]) {
      for (const N of [2, 16, 1e6]) {
        const pair = { p: [p, 1 - p], q: [p / N, 1 - p / N], stepKl: [], stepHellinger: [] };
        // p / (p / N) may round to just under N; D.2 is about the exact ratio.
        expect(probability(pair, (y) => pair.p[y]! / pair.q[y]! >= N * (1 - 1e-12))).toBeCloseTo(p, 14);
        const divergence = kl(pair.p, pair.q);
        expect(divergence).toBeCloseTo(p * Math.log(N) + (1 - p) * Math.log((1 - p) / (1 - p / N)), 12);
        const bound = bounds.klToCoverage(divergence, N);
        expect(bound).toBeGreaterThanOrEqual(p - SLACK);
        if (N === 1e6) expect(bound).toBeLessThan(1.1 * p);
      }
    }
  });

  it('Prop D.3: coverage bounds KL', () => {
    forPairs((pair) => {
      const ratios = pair.p.flatMap((p, y) => (p > 0 ? [ratio(pair, y)] : [])).filter((l) => l > 0);
      const log = Math.max(0, ...ratios);
      // The supremum of Cov_N log N is at one of the steps.
      const C = Math.max(0, ...ratios.map((l) => l * probability(pair, (y) => ratio(pair, y) >= l)));
      if (log === Number.POSITIVE_INFINITY) return;
      const bound = bounds.coverageToKl(Math.min(C, Math.log(Math.exp(log))), Math.exp(log));
      expect(kl(pair.p, pair.q)).toBeLessThanOrEqual(bound + SLACK);
    });
  });

  it('Prop D.4: Hellinger', () => {
    forPairs((pair, N) => {
      const h2 = Math.min(1, hellinger(pair.p, pair.q));
      expect(coverage(pair, N)).toBeLessThanOrEqual(bounds.hellingerToCoverage(h2, N) + SLACK);
    });
  });

  it('Prop D.5: chain rule', () => {
    const three = fc.array(fc.tuple(fc.nat(20), fc.nat(20), fc.nat(20)), { minLength: 2, maxLength: 8 });
    fc.assert(
      fc.property(three, thresholds, thresholds, (weights, M2, extra) => {
        const law = (k: number): number[] => {
          const sum = weights.reduce((a, w) => a + w[k]!, 0);
          return weights.map((w) => (sum > 0 ? w[k]! / sum : 1 / weights.length));
        };
        const [t, d, m] = [law(0), law(1), law(2)];
        const cov = (p: number[], q: number[], N: number): number =>
          coverage({ p, q, stepKl: [], stepHellinger: [] }, N);
        const M1 = M2 * extra;
        const bound = bounds.chainRule({ M1, M2, coverage: cov(d, m, M1 / M2), comparator: cov(t, d, M2) });
        expect(cov(t, m, M1)).toBeLessThanOrEqual(bound + SLACK);
      }),
      settings,
    );
  });

  it('Prop D.6: Best-of-N regret from above, for random and worst 0/1 rewards', () => {
    const reward = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 27, maxLength: 27 });
    fc.assert(
      fc.property(pairs, reward, thresholds, fc.integer({ min: 1, max: 300 }), (pair, random, M, N) => {
        const bound = bounds.bestOfNUpper(Math.min(1, coverage(pair, M)), M, N);
        expect(regret(pair, random.slice(0, pair.p.length), N)).toBeLessThanOrEqual(bound + SLACK);
        expect(worstRegret(pair, N)).toBeLessThanOrEqual(bound + SLACK);
      }),
      settings,
    );
  });

  it('Prop D.7: Best-of-N regret from below, for the worst 0/1 reward', () => {
    fc.assert(
      fc.property(pairs, fc.integer({ min: 2, max: 300 }), (pair, N) => {
        const bound = bounds.bestOfNLower(coverage(pair, 2 * N), N);
        expect(worstRegret(pair, N)).toBeGreaterThanOrEqual(bound - SLACK);
        expect(bound).toBe(coverage(pair, 2 * N) / 2);
      }),
      settings,
    );
  });

  it('Prop D.10: stopped KL', () => {
    forPairs((pair, factor) => {
      const N = Math.E * factor;
      const bound = bounds.stoppedKlToCoverage(Math.max(0, stoppedKl(pair, N)), N);
      expect(coverage(pair, N)).toBeLessThanOrEqual(bound + SLACK);
    });
  });

  it('Prop D.11: Hellinger from below', () => {
    fc.assert(
      fc.property(pairs, thresholds, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (pair, N, delta) => {
        const threshold = bounds.hellingerThreshold(N, delta);
        expect(threshold).toBeCloseTo(Math.log(N / delta), 10);
        const far = probability(pair, (y) => pair.stepHellinger[y]! >= threshold);
        expect(coverage(pair, N)).toBeGreaterThanOrEqual(
          bounds.hellingerToCoverageLower(Math.min(1, far), delta) - SLACK,
        );
      }),
      settings,
    );
    // The random pairs seldom reach the threshold: 30 nearly disjoint steps do.
    const q = 0.999 ** 30;
    const pair = { p: [q, 1 - q], q: [0.001 ** 30, 1 - 0.001 ** 30] };
    const step = hellinger([0.999, 0.001], [0.001, 0.999]);
    expect(30 * step).toBeGreaterThan(bounds.hellingerThreshold(1e5, 0.1));
    const lower = bounds.hellingerToCoverageLower(1, 0.1);
    expect(lower).toBeCloseTo(0.9, 12);
    expect(
      probability({ ...pair, stepKl: [], stepHellinger: [] }, (y) => pair.p[y]! / pair.q[y]! >= 1e5),
    ).toBeGreaterThan(lower);
  });
});

/** The largest regret over all 0/1 rewards: the best sets take responses in order of their ratio or by enumeration. */
function worstRegret(pair: Pair, N: number): number {
  const size = pair.p.length;
  let worst = 0;
  if (size <= 9) {
    for (let set = 1; set < 1 << size; set++) {
      const reward = pair.p.map((_, y) => (set >> y) & 1);
      worst = Math.max(worst, regret(pair, reward, N));
    }
    return worst;
  }
  // p(A) - 1 + (1 - q(A))^N is convex in A's masses, so its maximum is at a set that a threshold on the ratio cuts out.
  const order = [...pair.p.keys()].filter((y) => pair.p[y]! > 0);
  order.sort((a, b) => pair.p[b]! * pair.q[a]! - pair.p[a]! * pair.q[b]!);
  const reward = pair.p.map(() => 0);
  for (const y of order) {
    reward[y] = 1;
    worst = Math.max(worst, regret(pair, reward, N));
  }
  return worst;
}

describe('values and domains', () => {
  it('has the closed forms', () => {
    expect(bounds.klToCoverage(0.1, 10)).toBeCloseTo(0.1 / (Math.log(10) - 0.9), 14);
    expect(bounds.klToCoverage(1e-12, 1 + 1e-5)).toBeCloseTo(1e-12 / 4.99993333e-11, 6);
    expect(bounds.klToCoverage(0, 1.5)).toBe(0);
    expect(bounds.klToCoverage(Number.POSITIVE_INFINITY, 1e300)).toBe(1);
    expect(bounds.hellingerToCoverage(0.01, 16)).toBeCloseTo((32 / 9) * 0.01, 14);
    expect(bounds.hellingerToCoverage(0, 2)).toBe(0);
    expect(bounds.stoppedKlToCoverage(0.2, Math.E ** 3)).toBeCloseTo(0.2, 14);
    expect(bounds.stoppedKlToCoverage(0, 3)).toBe(0);
    expect(bounds.coverageToKl(0.5, Math.E ** 2)).toBeCloseTo(0.5 * (1 + Math.log(4)), 12);
    expect(bounds.coverageToKl(0, 1)).toBe(0);
    expect(bounds.coverageToKl(1, Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY);
    expect(bounds.bestOfNUpper(0.2, 4, 16)).toBeCloseTo(0.2 + Math.exp(-2), 14);
    expect(bounds.bestOfNUpper(0.51, 4, 1e6)).toBe(1);
    expect(bounds.bestOfNUpper(0.5, 4, 1)).toBe(1);
    expect(bounds.bestOfNLower(0.4, 1)).toBe(0);
    expect(bounds.naiveKlN(2, 0.5)).toBeCloseTo(Math.exp(4), 10);
    expect(bounds.naiveKlN(Number.POSITIVE_INFINITY, 0.5)).toBe(Number.POSITIVE_INFINITY);
    expect(bounds.chainRule({ M1: 8, M2: 4, coverage: 0.5, comparator: 0.5 })).toBe(1);
    expect(bounds.chainRule({ M1: 8, M2: 4, coverage: 0.1, comparator: 0.05 })).toBeCloseTo(0.45, 14);
  });

  it.each<[string, () => number]>([
    ['KL below 0', () => bounds.klToCoverage(-0.1, 2)],
    ['NaN', () => bounds.klToCoverage(Number.NaN, 2)],
    ['N = 1', () => bounds.klToCoverage(1, 1)],
    ['infinite N', () => bounds.klToCoverage(1, Number.POSITIVE_INFINITY)],
    ['Hellinger above 1', () => bounds.hellingerToCoverage(1.1, 2)],
    ['Hellinger at N = 1', () => bounds.hellingerToCoverage(0.1, 1)],
    ['delta = 0', () => bounds.hellingerToCoverageLower(0.5, 0)],
    ['delta = 1', () => bounds.hellingerThreshold(2, 1)],
    ['stopped KL at N = e', () => bounds.stoppedKlToCoverage(1, Math.E)],
    ['C above log W', () => bounds.coverageToKl(1.01, Math.E)],
    ['W below 1', () => bounds.coverageToKl(0, 0.5)],
    ['M1 < M2', () => bounds.chainRule({ M1: 2, M2: 4, coverage: 0, comparator: 0 })],
    ['coverage above 1', () => bounds.bestOfNUpper(1.1, 2, 2)],
    ['M below 1', () => bounds.bestOfNUpper(0.1, 0.5, 2)],
    ['N below 1', () => bounds.bestOfNLower(0.1, 0)],
    ['eps = 0', () => bounds.naiveKlN(1, 0)],
  ])('refuses %s', (_, call) => {
    expect(call).toThrow(RangeError);
  });
});
