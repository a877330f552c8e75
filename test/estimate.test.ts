import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bcaLimits,
  clusterDesign,
  clusteredProportion,
  clusterIds,
  type Estimate,
  groupSums,
  meanEstimate,
  PhiloxStream,
  philox,
  proportionEstimate,
  studentQuantile,
} from '../lib/estimate/index.ts';

const SKEWED = [0.1, 0.4, 0.4, 0.9, 1.6, 2.2, 3.7, 5.1, 8.3, 15.0];

function expectLimits(estimate: { lower: number; upper: number }, lower: number, upper: number, digits = 10): void {
  expect(estimate.lower).toBeCloseTo(lower, digits);
  expect(estimate.upper).toBeCloseTo(upper, digits);
}

describe('Philox4x32-10', () => {
  it.each([
    [[0, 0, 0, 0], [0, 0], '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    [Array(4).fill(0xffffffff), Array(2).fill(0xffffffff), '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    [[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], 'd16cfe09 94fdcceb 5001e420 24126ea1'],
  ])('gives Random123 known answers for counter %j', (counter, key, answer) => {
    const out = new Uint32Array(4);
    philox(Uint32Array.from(counter), key[0]!, key[1]!, out);
    expect(Array.from(out, (word) => word.toString(16).padStart(8, '0')).join(' ')).toBe(answer);
  });

  it('streams blocks in order, apart for each sample, stream and high word of the seed', () => {
    const stream = new PhiloxStream(0);
    const words = Array.from({ length: 8 }, () => stream.next());
    const out = new Uint32Array(4);
    philox(Uint32Array.of(1, 0, 0, 0), 0, 0, out);
    expect(words.slice(4)).toEqual(Array.from(out));
    philox(Uint32Array.of(0, 0, 3, 5), 7, 2, out);
    expect(new PhiloxStream(7 + 2 * 2 ** 32, 3, 5).next()).toBe(out[0]);
  });

  it('draws indices below n and uniforms in (0, 1), evenly', () => {
    // Seed 1. 60,000 draws over 6 values: each count is within 5 standard deviations (false alarm < 4e-6).
    const stream = new PhiloxStream(1);
    const counts = new Array(6).fill(0);
    let sum = 0;
    for (let i = 0; i < 60_000; i++) {
      counts[stream.below(6)]++;
      const u = stream.uniform();
      expect(u > 0 && u < 1).toBe(true);
      sum += u;
    }
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(5 * Math.sqrt((60_000 * 5) / 36));
    expect(Math.abs(sum / 60_000 - 0.5)).toBeLessThan(5 / Math.sqrt(12 * 60_000));
  });
});

describe('clusterIds', () => {
  it('numbers labels in order of appearance', () => {
    expect(clusterIds(['b', 'a', 'b'], 3)).toEqual({ ids: Int32Array.of(0, 1, 0), count: 2 });
    expect(clusterIds(Float64Array.of(5, 5, -1), 3)).toEqual({ ids: Int32Array.of(0, 0, 1), count: 2 });
    expect(groupSums([1, 2, 4], clusterIds(['b', 'a', 'b'], 3))).toEqual(Float64Array.of(5, 2));
  });

  it('refuses another length and other labels', () => {
    expect(() => clusterIds([1, 2], 3)).toThrow(/Expected 3 labels for clusters but received 2/);
    expect(() => clusterIds([1, Number.NaN], 2)).toThrow(TypeError);
    expect(() => clusterIds([1, {}] as never, 2)).toThrow(TypeError);
    expect(() => clusterIds('ab' as never, 2)).toThrow(TypeError);
  });
});

describe('clusterDesign', () => {
  /** The degrees of freedom straight from the definition, with the G x G covariance of the residuals. */
  function bruteDf(weights: number[], ids: Int32Array, count: number, rho: number): number {
    const W = weights.reduce((a, b) => a + b, 0);
    const size = new Array(count).fill(0);
    const variance = new Array(count).fill(0);
    weights.forEach((w, i) => {
      size[ids[i]!] += w;
    });
    weights.forEach((wi, i) => {
      weights.forEach((wj, j) => {
        if (ids[i] === ids[j]) variance[ids[i]!] += wi * wj * (i === j ? 1 : rho);
      });
    });
    const share = size.map((s) => s / W);
    const factor = share.map((h) => 1 / (1 - h));
    let trace = 0;
    let squares = 0;
    for (let g = 0; g < count; g++) {
      for (let k = 0; k < count; k++) {
        let cov = 0;
        for (let j = 0; j < count; j++) {
          cov += ((g === j ? 1 : 0) - share[g]!) * ((k === j ? 1 : 0) - share[k]!) * variance[j]!;
        }
        if (g === k) trace += factor[g]! * cov;
        squares += factor[g]! * factor[k]! * cov * cov;
      }
    }
    return trace ** 2 / squares;
  }

  it('has Satterthwaite degrees of freedom', () => {
    const observation = fc.record({ weight: fc.double({ min: 0.3, max: 10, noNaN: true }), id: fc.nat(4) });
    fc.assert(
      fc.property(fc.array(observation, { minLength: 3, maxLength: 12 }), (list) => {
        const weights = list.map((o) => o.weight);
        const groups = clusterIds(
          list.map((o) => o.id),
          list.length,
        );
        fc.pre(groups.count > 1);
        const { meanDf, proportionDf } = clusterDesign(Float64Array.from(weights), groups);
        expect(meanDf / bruteDf(weights, groups.ids, groups.count, 1)).toBeCloseTo(1, 6);
        expect(proportionDf / bruteDf(weights, groups.ids, groups.count, 0.1)).toBeCloseTo(1, 6);
      }),
      { numRuns: 200, seed: 1 },
    );
  });

  it('stays in 1 .. G - 1 where one cluster has nearly all the weight', () => {
    for (const tiny of [1e-6, 1e-12, 1e-17]) {
      const design = clusterDesign(Float64Array.of(1, tiny, tiny), clusterIds([1, 2, 3], 3));
      expect(design.meanDf).toBeGreaterThanOrEqual(1);
      expect(design.meanDf).toBeLessThanOrEqual(2);
      expect(Number.isFinite(meanEstimate([1, 2, 4], { weights: [1, tiny, tiny] }).upper)).toBe(true);
    }
  });

  it('is classical for equal clusters', () => {
    const design = clusterDesign(new Float64Array(12).fill(1), clusterIds([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4], 12));
    expect(design.meanDf).toBeCloseTo(3, 12);
    expect(design.proportionDf).toBeCloseTo(3, 12);
    expect(design.effective).toBeCloseTo(4, 12);
    expect(design.clusters).toBe(4);
  });
});

describe('clusteredProportion', () => {
  it('counts copies of an observation as one', () => {
    // 10 clusters of 4 equal outcomes, 3 of them hits: p (1-p) / var = 9, by hand.
    const hits = Array.from({ length: 40 }, (_, i) => (i < 12 ? 1 : 0));
    const clusters = hits.map((_, i) => Math.floor(i / 4));
    const estimate = clusteredProportion(hits, { clusters });
    const size = 9 * (studentQuantile(0.025, 39) / studentQuantile(0.025, 9)) ** 2;
    expect(estimate).toMatchObject({ value: 0.3, method: 'korn-graubard', n: 40, confidence: 0.95 });
    const single = proportionEstimate(3, 10);
    expect(size).toBeLessThan(9);
    expect(estimate.upper - estimate.lower).toBeGreaterThan(single.upper - single.lower);
    expect(estimate.upper - estimate.lower).toBeLessThan(1.2 * (single.upper - single.lower));
  });

  it('never claims more than n independent observations', () => {
    // One hit in each cluster of two: no variation between clusters at all.
    const hits = Array.from({ length: 20 }, (_, i) => i % 2);
    const estimate = clusteredProportion(hits, { clusters: hits.map((_, i) => i >> 1) });
    const plain = proportionEstimate(10, 20);
    expectLimits(estimate, plain.lower, plain.upper, 12);
  });

  it('takes the worst design where nothing varies', () => {
    const clusters = Array.from({ length: 30 }, (_, i) => Math.floor(i / 5));
    const none = clusteredProportion(new Array(30).fill(0), { clusters });
    const all = clusteredProportion(new Array(30).fill(1), { clusters });
    expectLimits(none, 0, proportionEstimate(0, 6).upper, 12);
    expectLimits(all, proportionEstimate(6, 6).lower, 1, 12);
  });

  it('agrees with repeated observations for whole weights inside a cluster', () => {
    const weighted = clusteredProportion([1, 0, 1, 0], { clusters: [1, 1, 2, 3], weights: [2, 1, 1, 2] });
    const repeated = clusteredProportion([1, 1, 0, 1, 0, 0], { clusters: [1, 1, 1, 2, 3, 3] });
    expect(weighted.value).toBeCloseTo(repeated.value, 14);
    expect(weighted.lower).toBeCloseTo(repeated.lower, 1);
  });

  it('ignores the scale of weights and observations of weight 0', () => {
    const a = clusteredProportion([1, 0, 1, 0, 1], { weights: [1, 2, 3, 4, 0] });
    const b = clusteredProportion([1, 0, 1, 0, 0], { weights: [10, 20, 30, 40, 0] });
    expectLimits(a, b.lower, b.upper, 12);
  });

  it('refuses what has no interval', () => {
    expect(() => clusteredProportion([1, 0], { clusters: [1, 1] })).toThrow(RangeError);
    expect(() => clusteredProportion([1, 2], { clusters: [1, 2] })).toThrow(RangeError);
    expect(() => clusteredProportion([])).toThrow(RangeError);
    expect(() => clusteredProportion([1, 0], { weights: [1] })).toThrow(RangeError);
    expect(() => clusteredProportion([1, 0], { weights: [1, -1] })).toThrow(RangeError);
    expect(() => clusteredProportion([1, 0], { weights: [0, 0] })).toThrow(RangeError);
    expect(() => clusteredProportion([1, 0], { weights: [1, Number.POSITIVE_INFINITY] })).toThrow(RangeError);
    expect(() => clusteredProportion([1, 0], { weights: [1, Number.NaN] })).toThrow(RangeError);
  });
});

describe('bcaLimits', () => {
  const settings = { confidence: 0.95, seed: 5, resamples: 40_000 };

  // References: scipy 1.17.1 stats.bootstrap, 400,000 resamples. With 40,000 resamples a limit moves by about 0.05
  // (standard deviation); the tolerances are 5 of those, false alarm < 1e-5 at seed 5.
  it('agrees with an independent implementation on a mean', () => {
    const { lower, upper } = bcaLimits(SKEWED, new Array(10).fill(1), settings);
    expect(Math.abs(lower - 1.73)).toBeLessThan(0.06);
    expect(Math.abs(upper - 7.84)).toBeLessThan(0.25);
  });

  it('agrees with an independent implementation on a ratio', () => {
    const { lower, upper } = bcaLimits([3, 0, 7, 2, 9, 4], [2, 1, 4, 2, 5, 3], settings);
    expect(Math.abs(lower - 1.08333)).toBeLessThan(0.05);
    expect(Math.abs(upper - 1.71428)).toBeLessThan(0.05);
  });

  it('is a function of the seed, and moves with the data', () => {
    const ones = new Array(10).fill(1);
    const first = bcaLimits(SKEWED, ones, settings);
    expect(bcaLimits(SKEWED, ones, settings)).toEqual(first);
    expect(bcaLimits(SKEWED, ones, { ...settings, seed: 6 })).not.toEqual(first);
    const moved = bcaLimits(
      SKEWED.map((x) => 3 * x - 7),
      ones,
      settings,
    );
    expectLimits(moved, 3 * first.lower - 7, 3 * first.upper - 7, 8);
  });

  it('gives a point for equal values', () => {
    expect(bcaLimits([2, 2, 2], [1, 1, 1], settings)).toEqual({ lower: 2, upper: 2 });
  });
});

describe('meanEstimate', () => {
  it('is Student for n >= 30 and on request, BCa below', () => {
    const t = meanEstimate(SKEWED, { method: 't' });
    // scipy 1.17.1: stats.t.interval(0.95, 9, mean, sem)
    expectLimits(t, 0.39776677491198953, 7.142233225088011);
    expect(t).toMatchObject({ method: 't', n: 10, confidence: 0.95 });
    expect(meanEstimate(SKEWED).method).toBe('bca');
    const values = Array.from({ length: 30 }, (_, i) => i);
    expect(meanEstimate(values).method).toBe('t');
    expect(meanEstimate(values.slice(1)).method).toBe('bca');
    expect(meanEstimate(values, { method: 'bca', resamples: 50 }).method).toBe('bca');
  });

  it('does not lose a small spread on a large mean', () => {
    const small = Float64Array.from({ length: 100 }, (_, i) => i % 2);
    const large = small.map((x) => x + 2 ** 40);
    const [a, b] = [meanEstimate(small), meanEstimate(large)];
    expect(b.upper - b.lower).toBeCloseTo(a.upper - a.lower, 3);
    expect(b.value - 2 ** 40).toBe(0.5);
  });

  it('sees copies of one value in a cluster as one value', () => {
    const values = SKEWED.flatMap((x) => [x, x, x]);
    const clusters = values.map((_, i) => Math.floor(i / 3));
    const t = meanEstimate(SKEWED, { method: 't' });
    const clustered = meanEstimate(values, { clusters });
    expectLimits(clustered, t.lower, t.upper);
    expect(clustered).toMatchObject({ method: 'cluster-t', n: 30 });
    const bca = meanEstimate(values, { clusters, method: 'bca', seed: 3 });
    const plain = meanEstimate(SKEWED, { method: 'bca', seed: 3 });
    expectLimits(bca, plain.lower, plain.upper, 8);
  });

  it('equals Student for one observation a cluster, and for equal weights', () => {
    const values = Array.from({ length: 40 }, (_, i) => Math.sin(i));
    const t = meanEstimate(values);
    const clustered = meanEstimate(values, { clusters: values.map((_, i) => `prompt ${i}`) });
    const weighted = meanEstimate(values, { weights: new Array(40).fill(0.2) });
    expectLimits(clustered, t.lower, t.upper);
    expectLimits(weighted, t.lower, t.upper);
    expect(weighted.method).toBe('weighted-t');
  });

  it('weights observations', () => {
    expect(meanEstimate([1, 2, 5], { weights: [2, 1, 1] }).value).toBeCloseTo(9 / 4, 14);
    const infinite = [1, 2, Number.POSITIVE_INFINITY];
    expect(meanEstimate(infinite, { weights: [1, 1, 0] }).value).toBe(1.5);
    expect(meanEstimate(infinite, { weights: [1, 1, 1] }).value).toBe(Number.POSITIVE_INFINITY);
  });

  it('is infinite where a value is', () => {
    const infinity = Number.POSITIVE_INFINITY;
    const estimate = meanEstimate([1, infinity, 2]);
    expect(estimate).toMatchObject({ value: infinity, lower: infinity, upper: infinity, n: 3 });
  });

  it('claims nothing from one value', () => {
    expect(meanEstimate([4])).toMatchObject({
      value: 4,
      lower: Number.NEGATIVE_INFINITY,
      upper: Number.POSITIVE_INFINITY,
      method: 'undefined (n = 1)',
    });
    expect(meanEstimate([4], { clusters: ['a'] }).method).toBe('undefined (n = 1)');
    const bounded = meanEstimate([1], { range: [0, 1] });
    expectLimits(bounded, 0.025, 1, 12);
  });

  it('keeps inside the range and claims no certainty from equal values', () => {
    const range = [0, 1] as const;
    const near = meanEstimate([...new Array(39).fill(1), 0.5], { range });
    expect(near.upper).toBe(1);
    expect(near.method).toBe('t');
    const ones: Estimate = meanEstimate(new Array(50).fill(1), { range });
    expect(ones).toMatchObject({ value: 1, upper: 1, method: 'bounded' });
    expect(ones.lower).toBeCloseTo(0.025 ** (1 / 50), 12);
    const clusters = Array.from({ length: 50 }, (_, i) => i % 5);
    expect(meanEstimate(new Array(50).fill(1), { range, clusters }).lower).toBeCloseTo(0.025 ** (1 / 5), 12);
    const scaled = meanEstimate(new Array(50).fill(-2), { range: [-2, 6] });
    expect(scaled.upper).toBeCloseTo(-2 + 8 * (1 - 0.025 ** (1 / 50)), 12);
    const middle = meanEstimate(new Array(50).fill(0.5), { range });
    expect(middle.lower).toBeCloseTo(1 - middle.upper, 12);
    expect(middle.lower).toBeGreaterThan(0.3);
  });

  it.each([
    [[], {}, RangeError],
    [[1, 2], { clusters: [1, 1] }, RangeError],
    [[1, 2], { clusters: [1] }, RangeError],
    [[1, 2], { weights: [1] }, RangeError],
    [[1, 2], { range: [0, 1] }, RangeError],
    [[1, 2], { range: [3, 1] }, RangeError],
    [[1, 2], { confidence: 1 }, RangeError],
    [[1, 2], { method: 'z' }, TypeError],
    [[1, 2], { seed: -1 }, RangeError],
    [[1, 2], { resamples: 0 }, RangeError],
    ['ab', {}, TypeError],
  ])('refuses %j with %j', (values, options, type) => {
    expect(() => meanEstimate(values as number[], options as object)).toThrow(type);
  });

  it('names the place of NaN and -Infinity', () => {
    expect(() => meanEstimate([1, Number.NaN], {}, 'rewards')).toThrow(/rewards\[1\] but received NaN/);
    expect(() => meanEstimate([Number.NEGATIVE_INFINITY])).toThrow(
      expect.objectContaining({ code: 'ERR_COVN_NON_FINITE' }),
    );
  });
});
