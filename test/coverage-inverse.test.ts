import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coverageProfile } from '../lib/coverage/index.ts';
import { proportionEstimate } from '../lib/estimate/index.ts';
import { tiedLogRatios } from './support/log-ratios.ts';

const INFINITY = Number.POSITIVE_INFINITY;
const settings = { numRuns: 150, seed: 20251015 };
const sample = tiedLogRatios;

describe('inverse', () => {
  it('is the infimum of N with Cov_N <= coverage', () => {
    fc.assert(
      fc.property(sample, fc.double({ min: 0, max: 1, noNaN: true }), (logRatios, target) => {
        const share = (x: number) => logRatios.filter((l) => l > x).length / logRatios.length;
        const above = logRatios.filter((l) => l >= 0).length / logRatios.length;
        const steps = logRatios.filter((l) => l >= 0 && share(l) <= target);
        const least = above <= target ? 1 : Math.exp(Math.min(INFINITY, ...steps));
        const { value, lower, upper } = coverageProfile(logRatios).inverse(target);
        expect(value).toBe(least);
        expect(lower).toBeLessThanOrEqual(value);
        expect(upper).toBeGreaterThanOrEqual(value);
      }),
      settings,
    );
  });

  it('is what a plain scan of the intervals finds, for clusters and weights', () => {
    const row = fc.record({
      // On a grid, so that there are ties and a step can be passed by 1e-9.
      x: fc.oneof(
        fc.integer({ min: -2, max: 6 }),
        fc.integer({ min: -1000, max: 4000 }).map((k) => k / 1000),
      ),
      cluster: fc.nat(7),
      weight: fc.double({ min: 0.1, max: 3, noNaN: true }),
    });
    const rows = fc.array(row, { minLength: 5, maxLength: 60 });
    fc.assert(
      fc.property(rows, fc.double({ min: 0.01, max: 0.99, noNaN: true }), fc.nat(2), (list, target, kind) => {
        fc.pre(new Set(list.map((r) => r.cluster)).size > 1);
        const clusters = list.map((r) => r.cluster);
        const weights = list.map((r) => r.weight);
        const options = [{ clusters }, { weights }, { clusters, weights }][kind]!;
        const logRatios = list.map((r) => r.x);
        const profile = coverageProfile(logRatios, options);
        // Just beyond each step, in ascending order; the step from N = 1 on counts log ratios of 0.
        const steps = [...new Set(logRatios.filter((x) => x >= 0))].sort((a, b) => a - b);
        const Ns = [1, ...steps.map((x) => Math.exp(x))];
        const beyond = [profile.at(1), ...steps.map((x) => profile.at(Math.exp(x + 1e-9)))];
        const low = beyond.findIndex((e) => e.lower <= target);
        const high = beyond.findLastIndex((e) => e.upper > target) + 1;
        const { lower, value, upper, method } = profile.inverse(target);
        expect(method).toBe('korn-graubard');
        expect(lower).toBe(low < 0 ? INFINITY : Ns[low]);
        expect(upper).toBe(Ns[high] ?? INFINITY);
        expect(lower <= value && value <= upper).toBe(true);
      }),
      { ...settings, numRuns: 400 },
    );
  });

  it('does not take a limit that rises again for reached', () => {
    // 10 prompts of 5, one hit at the largest log ratio: its upper limit is below the one for no hits at all.
    const logRatios = Array.from({ length: 50 }, (_, i) => i / 50);
    const clusters = logRatios.map((_, i) => i % 10);
    const profile = coverageProfile(logRatios, { clusters });
    const [one, none] = [profile.at(Math.exp(0.97)).upper, profile.at(3).upper];
    expect(one).toBeLessThan(none);
    expect(profile.inverse((one + none) / 2).upper).toBe(INFINITY);
    expect(profile.inverse(none + 1e-9).upper).toBeLessThan(Math.exp(1));
  });

  it('has order statistics as limits', () => {
    const logRatios = Array.from({ length: 100 }, (_, i) => (i + 1) / 10);
    const { lower, upper } = coverageProfile(logRatios).inverse(0.5);
    const within = (end: 'lower' | 'upper') =>
      Array.from({ length: 101 }, (_, hits) => hits)
        .filter((hits) => proportionEstimate(hits, 100)[end] <= 0.5)
        .at(-1)!;
    expect(lower).toBeCloseTo(Math.exp((100 - within('lower')) / 10), 10);
    expect(upper).toBeCloseTo(Math.exp((100 - within('upper')) / 10), 10);
    expect(coverageProfile(logRatios).inverse(0.01).upper).toBe(INFINITY);
    expect(coverageProfile(logRatios).inverse(1)).toMatchObject({ value: 1, lower: 1, upper: 1 });
  });
});
