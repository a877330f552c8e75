import { describe, expect, it } from 'vitest';
import {
  betaCdf,
  betaQuantile,
  logGamma,
  normalCdf,
  normalQuantile,
  proportionEstimate,
  studentQuantile,
} from '../lib/estimate/index.ts';
import { binomialFrom, binomialUpTo } from './oracles/rational.ts';

function close(value: number, reference: number, tolerance = 1e-12): void {
  expect(Math.abs(value - reference) / Math.abs(reference), `${value} against ${reference}`).toBeLessThan(tolerance);
}

// References: mpmath 1.3 at 40 digits, rounded to float64.
describe('special functions against 40-digit references', () => {
  it.each([
    [1, 1e9, 2.531780798396938e-11, 5.571643378203115e-9],
    [0.3, 20, 1.5653008528944207e-7, 0.19455182800116222],
    [3, 10, 0.06673951117773447, 0.6524528500599973],
    [17, 200, 0.05029591863025728, 0.13260516582955237],
    [500, 1000, 0.46854917297179194, 0.531450827028208],
    [2, 1e6, 2.422093703160032e-7, 7.224668794380317e-6],
    [12.5, 37.2, 0.18993962740528497, 0.5093231403943641],
    [999, 1000, 0.9944410757201734, 0.9999746825125088],
  ])('beta quantiles for %d of %d', (hits, n, lower, upper) => {
    close(betaQuantile(0.025, hits, n - hits + 1), lower);
    close(betaQuantile(0.025, hits + 1, n - hits, 'upper'), upper);
  });

  it.each([
    [0.5, 2.5, 3.5, 0.669765272631355],
    [0.001, 0.5, 0.5, 0.020135041633377492],
    [0.3, 100, 50, 1.1193825947269399e-20],
    [0.9, 3, 0.2, 0.19414127962989722],
    [1e-6, 1, 1e6, 0.6321207427683548],
    [0.6, 100, 80, 0.885574044073776],
    [1e-8, 3, 1e9, 0.9972306044206882],
  ])('I_%d(%d, %d)', (x, a, b, value) => close(betaCdf(x, a, b), value));

  it.each([
    [0.025, 1, 12.706204736174705],
    [0.025, 4.5, 2.658912347204404],
    [0.005, 29, 2.7563859036706053],
    [0.0001, 99.25, 3.8627138696865284],
    [0.025, 999999, 1.9599663568164793],
    [0.025, 2000000, 1.959965170676375],
    [1e-12, 12, 28.68765664933175],
  ])('t quantile at %d with %d degrees', (tail, df, value) => {
    close(-studentQuantile(tail, df), value);
    if (tail > 1e-6) close(studentQuantile(1 - tail, df), value);
  });

  it.each([
    [-0.5, 0.3085375387259869],
    [-2.4, 0.008197535924596131],
    [-2.6, 0.004661188023718749],
    [-8, 6.220960574271784e-16],
    [-30, 4.906713927148187e-198],
    [1.25, 0.8943502263331448],
  ])('normal cdf at %d', (z, value) => close(normalCdf(z), value));

  it.each([
    [0.4, -0.2533471031357997],
    [0.025, -1.9599639845400543],
    [1e-6, -4.753424308822899],
    [1e-100, -21.273453560965326],
  ])('normal quantile at %d', (p, value) => close(normalQuantile(p), value));

  it.each([
    [0.001, 6.907178885383853],
    [0.5, 0.5723649429247001],
    [3.7, 1.428072326665388],
    [15.5, 26.536914491115613],
    [1000.25, 5906.9472682711175],
    [1e9, 19723265827.503716],
  ])('log Gamma(%d)', (z, value) => close(logGamma(z), value, 1e-14));

  it('handles ends', () => {
    expect(betaQuantile(0, 2, 3)).toBe(0);
    expect(betaQuantile(1, 2, 3)).toBe(1);
    expect(betaQuantile(0, 2, 3, 'upper')).toBe(1);
    expect(betaQuantile(1, 2, 3, 'upper')).toBe(0);
    expect(betaCdf(0, 2, 3)).toBe(0);
    expect(betaCdf(1, 2, 3)).toBe(1);
    expect(normalQuantile(0)).toBe(Number.NEGATIVE_INFINITY);
    expect(normalQuantile(1)).toBe(Number.POSITIVE_INFINITY);
    expect(normalQuantile(0.5)).toBeCloseTo(0, 15);
    expect(studentQuantile(0.5, 3)).toBe(0);
    expect(studentQuantile(0, 3)).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe('Clopper-Pearson against exact rational binomial tails', () => {
  it.each([[1], [2], [7], [40]])('every count of n = %d', (n) => {
    for (let hits = 0; hits <= n; hits++) {
      for (const confidence of [0.5, 0.95, 0.999999]) {
        const { value, lower, upper, method } = proportionEstimate(hits, n, confidence);
        expect(method).toBe('clopper-pearson');
        expect(value).toBe(hits / n);
        if (hits === 0) expect(lower).toBe(0);
        else close(binomialFrom(hits, n, lower), (1 - confidence) / 2, 1e-12);
        if (hits === n) expect(upper).toBe(1);
        // An upper limit near 1 is itself rounded, and the tail feels that n / (1 - upper) times.
        else close(binomialUpTo(hits, n, upper), (1 - confidence) / 2, 1e-12 + (3e-16 * n) / (1 - upper));
      }
    }
  });

  it('holds the truth with at least 95% at every p, by exact summation', () => {
    const n = 23;
    const limits = Array.from({ length: n + 1 }, (_, hits) => proportionEstimate(hits, n));
    for (let p = 1 / 256; p < 1; p += 1 / 256) {
      let held = 0;
      limits.forEach(({ lower, upper }, hits) => {
        if (lower <= p && p <= upper) held += binomialUpTo(hits, n, p) - (hits ? binomialUpTo(hits - 1, n, p) : 0);
      });
      expect(held).toBeGreaterThanOrEqual(0.95);
    }
  });

  it('stays sharp at n = 1e9 and in the corners', () => {
    close(proportionEstimate(0, 1e9).upper, -Math.expm1(Math.log(0.025) / 1e9));
    close(1 - proportionEstimate(1e9, 1e9).lower, -Math.expm1(Math.log(0.025) / 1e9), 1e-7);
    const { lower, upper } = proportionEstimate(5e8, 1e9);
    close(0.5 - lower, upper - 0.5, 1e-9);
  });

  it.each([
    [-1, 10, 0.95],
    [11, 10, 0.95],
    [0.5, 10, 0.95],
    [0, 0, 0.95],
    [1, 10, 0],
    [1, 10, 1],
    [1, 10, Number.NaN],
  ])('refuses %d of %d at %d', (hits, n, confidence) => {
    expect(() => proportionEstimate(hits, n, confidence)).toThrow(RangeError);
  });
});
