import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bcaLimits,
  betaQuantile,
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

describe('uniforms', () => {
  it.each([
    [0, 2 ** -53],
    [0xffffffff, 1 - 2 ** -53],
  ])('stay inside (0, 1) for words %d', (word, value) => {
    const stream = new PhiloxStream(0);
    stream.next = () => word;
    expect(stream.uniform()).toBe(value);
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
    expect(design).toMatchObject({ n: 12, observations: 12 });
  });

  it('has the effective numbers of Kish', () => {
    const design = clusterDesign(Float64Array.of(1, 2, 3, 4), clusterIds([1, 1, 2, 3], 4));
    expect(design.effective).toBeCloseTo(100 / (9 + 9 + 16), 12);
    expect(design.observations).toBeCloseTo(100 / 30, 12);
  });
});

/** Clopper-Pearson's limits at p of an effective sample size, straight from the beta distribution. */
function expectKornGraubard(estimate: Estimate, p: number, size: number, tail = 0.025): void {
  expect(estimate.value).toBeCloseTo(p, 13);
  expect(estimate.lower).toBeCloseTo(betaQuantile(tail, p * size, (1 - p) * size + 1), 11);
  expect(estimate.upper).toBeCloseTo(betaQuantile(tail, p * size + 1, (1 - p) * size, 'upper'), 11);
}

/** Rows of a random design; with weight 0 among them only where asked for. */
const designRows = (least: number) =>
  fc.array(
    fc.record({
      hit: fc.nat(1),
      cluster: fc.nat(6),
      weight: fc.oneof(fc.constantFrom(1, least), fc.double({ min: 0.1, max: 4, noNaN: true })),
    }),
    { minLength: 3, maxLength: 25 },
  );

describe('clusteredProportion', () => {
  it('is Korn-Graubard by its definition', () => {
    fc.assert(
      fc.property(designRows(2), fc.constantFrom(0.8, 0.95, 0.99), (rows, confidence) => {
        const labels = [...new Set(rows.map((r) => r.cluster))];
        fc.pre(labels.length > 1);
        const sum = (list: typeof rows, f: (r: (typeof rows)[0]) => number) => list.reduce((s, r) => s + f(r), 0);
        const weights = rows.map((r) => r.weight);
        const W = sum(rows, (r) => r.weight);
        const p = sum(rows, (r) => r.weight * r.hit) / W;
        let variance = 0;
        let alike = 0;
        for (const label of labels) {
          const own = rows.filter((r) => r.cluster === label);
          const share = sum(own, (r) => r.weight) / W;
          variance += sum(own, (r) => r.weight * (r.hit - p)) ** 2 / (1 - share) / W ** 2;
          alike += share ** 2;
        }
        const tail = (1 - confidence) / 2;
        const groups = clusterIds(
          rows.map((r) => r.cluster),
          rows.length,
        );
        const df = clusterDesign(Float64Array.from(weights), groups).proportionDf;
        const factor = (studentQuantile(tail, rows.length - 1) / studentQuantile(tail, df)) ** 2;
        const kish = W ** 2 / sum(rows, (r) => r.weight ** 2);
        const estimate = clusteredProportion(
          rows.map((r) => r.hit),
          { clusters: rows.map((r) => r.cluster), weights, confidence },
        );
        fc.pre(p === 0 || p === 1 || (p > 1e-9 && p < 1 - 1e-9));
        if (p === 0) expectLimits(estimate, 0, 1 - tail ** alike, 11);
        else if (rows.every((r) => r.hit === 1)) expectLimits(estimate, tail ** alike, 1, 11);
        else expectKornGraubard(estimate, p, Math.min(kish, ((p * (1 - p)) / variance) * factor), tail);
      }),
      { numRuns: 300, seed: 2 },
    );
  });

  it('is not changed by observations of weight 0', () => {
    fc.assert(
      fc.property(designRows(0), fc.boolean(), (rows, clustered) => {
        const kept = rows.filter((r) => r.weight > 0);
        const units = clustered ? new Set(kept.map((r) => r.cluster)).size : kept.length;
        fc.pre(units > 1);
        const estimate = (list: typeof rows) =>
          clusteredProportion(
            list.map((r) => r.hit),
            { weights: list.map((r) => r.weight), ...(clustered ? { clusters: list.map((r) => r.cluster) } : {}) },
          );
        expect(estimate(rows)).toEqual(estimate(kept));
        expect(estimate(rows).n).toBe(kept.length);
      }),
      { numRuns: 200, seed: 3 },
    );
    // 10 clusters of one hit and one miss, and many rows that say nothing.
    const hits = Array.from({ length: 20 }, (_, i) => i % 2);
    const clusters = hits.map((_, i) => i >> 1);
    const plain = clusteredProportion(hits, { clusters });
    const more = new Array(10_000).fill(0);
    const padded = { clusters: [...clusters, ...more], weights: [...new Array(20).fill(1), ...more] };
    expect(clusteredProportion([...hits, ...more], padded)).toEqual(plain);
    const tiny = { ...padded, weights: padded.weights.map((w) => w || 1e-9) };
    expect(clusteredProportion([...hits, ...more], tiny).upper).toBeCloseTo(plain.upper, 2);
  });

  it('counts copies of an observation as one', () => {
    // 10 clusters of 4 equal outcomes, 3 of them hits: p (1-p) / var = 9, by hand.
    const hits = Array.from({ length: 40 }, (_, i) => (i < 12 ? 1 : 0));
    const clusters = hits.map((_, i) => Math.floor(i / 4));
    const estimate = clusteredProportion(hits, { clusters });
    const size = 9 * (studentQuantile(0.025, 39) / studentQuantile(0.025, 9)) ** 2;
    expect(estimate).toMatchObject({ value: 0.3, method: 'korn-graubard', n: 40, confidence: 0.95 });
    const single = proportionEstimate(3, 10);
    expect(size).toBeLessThan(9);
    expectKornGraubard(estimate, 0.3, size);
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
