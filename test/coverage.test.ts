import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coverageProfile } from '../lib/coverage/index.ts';
import { clusteredProportion, meanEstimate, PhiloxStream, proportionEstimate } from '../lib/estimate/index.ts';
import { bestOfNValue, coverage, kl, type Pair, pairs, ratio, regret, thresholds } from './oracles/distributions.ts';
import { tiedLogRatios } from './support/log-ratios.ts';

const INFINITY = Number.POSITIVE_INFINITY;

/** The population itself as a weighted sample: its profile is exact. Needs two responses of positive probability. */
function exactProfile(pair: Pair) {
  const support = pair.p.flatMap((p, y) => (p > 0 ? [y] : []));
  const weights = support.map((y) => pair.p[y]!);
  return coverageProfile(
    support.map((y) => ratio(pair, y)),
    { weights },
  );
}
const nontrivial = pairs.filter((pair) => pair.p.filter((p) => p > 0).length > 1);
const settings = { numRuns: 150, seed: 20251015 };
const sample = tiedLogRatios;

describe('a profile of an enumerated population', () => {
  it('has its coverage, KL and regret bracket', () => {
    fc.assert(
      fc.property(nontrivial, thresholds, fc.integer({ min: 2, max: 200 }), (pair, threshold, N) => {
        const profile = exactProfile(pair);
        expect(profile.at(threshold).value).toBeCloseTo(coverage(pair, threshold), 12);
        const divergence = kl(pair.p, pair.q);
        if (divergence === INFINITY) expect(profile.kl.value).toBe(INFINITY);
        else expect(profile.kl.value).toBeCloseTo(divergence, 10);
        const { lower, upper } = profile.bestOfN(N);
        expect(lower).toBeCloseTo(coverage(pair, 2 * N) / 2, 12);
        // The reward that marks what pi covers worst attains at least `lower`; no reward beats `upper`.
        const adversarial = pair.p.map((p, y) => (p > 0 && ratio(pair, y) >= Math.log(2 * N) ? 1 : 0));
        const suffered = regret(pair, adversarial, N);
        expect(suffered).toBeGreaterThanOrEqual(lower - 1e-9);
        expect(suffered).toBeLessThanOrEqual(upper + 1e-9);
      }),
      settings,
    );
  });

  it('reproduces the upper bracket by brute force over M', () => {
    fc.assert(
      fc.property(nontrivial, fc.integer({ min: 1, max: 2000 }), (pair, N) => {
        const { upper, M } = exactProfile(pair).bestOfN(N);
        let least = 1;
        const bound = (m: number): number => {
          const cov = coverage(pair, m);
          return cov <= 0.5 ? cov + Math.exp(-N / (2 * m)) : 1;
        };
        for (let m = 1; m < 1e6; m *= 1.003) least = Math.min(least, bound(m));
        pair.p.forEach((p, y) => {
          const m = Math.exp(ratio(pair, y)) * (1 + 1e-12);
          if (p > 0 && m >= 1 && m < INFINITY) least = Math.min(least, bound(m));
        });
        expect(upper).toBeLessThanOrEqual(least + 1e-9);
        expect(upper).toBeGreaterThanOrEqual(least - 1e-9);
        if (upper < 1) expect(bound(M * (1 + 1e-12))).toBeCloseTo(upper, 9);
      }),
      settings,
    );
  });
});

describe('instances with known answers', () => {
  it('1: Bernoulli with an unseen outcome has infinite KL and Cov_N = p*', () => {
    const profile = coverageProfile([Math.log(0.7), INFINITY], { weights: [0.7, 0.3] });
    expect(profile.kl).toMatchObject({ value: INFINITY, lower: INFINITY, upper: INFINITY });
    for (const N of [1, 2, 1e3, 1e300]) expect(profile.at(N).value).toBeCloseTo(0.3, 15);
    expect(profile.inverse(0.3).value).toBe(1);
    expect(profile.inverse(0.29).value).toBe(INFINITY);
    expect(profile.curve().map((point) => point.N)).toEqual([1]);
    expect(profile.plan({ regret: 0.3 })).toBe(INFINITY);
    expect(profile.plan({ regret: 0.31 })).toBe(Math.ceil(2 * Math.log(1 / 0.01)));
  });

  it('6: misspecification (Prop E.1)', () => {
    const [alpha, M] = [1.5, 1000];
    const p = alpha ** 2 / (32 * Math.log(M));
    const weights = [(1 - p) / 2, (1 - p) / 2, p / 2, p / 2];
    const first = coverageProfile([Math.log(0.5 / (1 - 0.5 / Math.exp(alpha))), alpha, 0, 0], { weights });
    expect(first.at(Math.exp(alpha / 2)).value).toBeCloseTo((1 - p) / 2, 14);
    expect(first.at(Math.exp(alpha) * (1 - 1e-12)).value).toBeCloseTo((1 - p) / 2, 14);
    expect(first.at(Math.exp(alpha) * (1 + 1e-12)).value).toBe(0);
    const second = coverageProfile([0, 0, Math.log(0.5 / (1 - 0.5 / M)), Math.log(M)], { weights });
    for (const N of [1.001, 30, M]) expect(second.at(N).value).toBeCloseTo(p / 2, 14);
    expect(second.at(M + 1).value).toBe(0);
    expect(second.kl.value).toBeLessThan(first.kl.value);
  });

  it('7: two-mode mixture', () => {
    const model = (q: number) => coverageProfile([-Math.log(q), -Math.log(1 - q)], { weights: [0.9, 0.1] });
    const pass = (q: number, N: number) =>
      0.9 * bestOfNValue([q, 1 - q], [1, 0], N) + 0.1 * bestOfNValue([q, 1 - q], [0, 1], N);
    expect(model(0.9).at(4).value).toBeCloseTo(0.1, 14);
    expect(model(0.5).at(4).value).toBe(0);
    expect(pass(0.9, 8)).toBeCloseTo(0.957, 4);
    expect(pass(0.5, 8)).toBeCloseTo(0.9961, 4);
    const divergences = [0.8, 0.85, 0.9, 0.95].map((q) => model(q).kl.value);
    expect(Math.min(...divergences)).toBe(divergences[2]);
    // Regret of Best-of-8 against the right class is what the bracket bounds.
    const { lower, upper } = model(0.9).bestOfN(8);
    expect(1 - pass(0.9, 8)).toBeLessThanOrEqual(upper);
    expect(lower).toBe(0);
    expect(model(0.9).bestOfN(5).lower).toBeCloseTo(0.05, 14);
  });
});

describe('at', () => {
  it('counts ties at exactly log N', () => {
    const profile = coverageProfile([Math.log(3), Math.log(3), 0, -1]);
    expect(profile.at(3).value).toBe(0.5);
    expect(profile.at(3 + 1e-15 * 3).value).toBe(0);
    expect(profile.at(1).value).toBe(0.75);
  });

  it('is Clopper-Pearson on the count', () => {
    fc.assert(
      fc.property(sample, fc.integer({ min: 0, max: 9 }), (logRatios, k) => {
        const hits = logRatios.filter((x) => x >= Math.log(2 ** k)).length;
        expect(coverageProfile(logRatios, { confidence: 0.9 }).at(2 ** k)).toEqual(
          proportionEstimate(hits, logRatios.length, 0.9),
        );
      }),
      settings,
    );
  });

  it('is Korn-Graubard on the hits, for clusters and weights', () => {
    const row = fc.record({
      x: fc.integer({ min: -2, max: 6 }),
      cluster: fc.nat(5),
      weight: fc.double({ min: 0.1, max: 3, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(row, { minLength: 4, maxLength: 30 }), fc.nat(6), (rows, k) => {
        const clusters = rows.map((r) => `prompt ${r.cluster}`);
        fc.pre(new Set(clusters).size > 1);
        const weights = rows.map((r) => r.weight);
        const logRatios = rows.map((r) => Math.log(2 ** r.x));
        const hits = rows.map((r) => (r.x >= k ? 1 : 0));
        for (const options of [{ clusters }, { weights }, { clusters, weights }]) {
          const profile = coverageProfile(logRatios, options);
          const direct = clusteredProportion(hits, options);
          const at = profile.at(2 ** k);
          expect(at.method).toBe('korn-graubard');
          expect(at.value).toBeCloseTo(direct.value, 12);
          expect(at.lower).toBeCloseTo(direct.lower, 6);
          expect(at.upper).toBeCloseTo(direct.upper, 6);
          expect(at.n).toBe(rows.length);
          const mean = meanEstimate(logRatios, options);
          expect(profile.kl.value).toBeCloseTo(mean.value, 10);
          expect(profile.kl.upper).toBeCloseTo(mean.upper, 6);
        }
      }),
      settings,
    );
  });
});

describe('responses of weight 0', () => {
  it('change nothing', () => {
    const row = fc.record({
      x: fc.oneof(fc.integer({ min: -2, max: 6 }), fc.constant(INFINITY)),
      cluster: fc.nat(5),
      weight: fc.constantFrom(0, 1, 1, 2.5),
    });
    fc.assert(
      fc.property(fc.array(row, { minLength: 4, maxLength: 30 }), fc.boolean(), (rows, clustered) => {
        const kept = rows.filter((r) => r.weight > 0);
        fc.pre((clustered ? new Set(kept.map((r) => r.cluster)).size : kept.length) > 1);
        const report = (list: typeof rows) =>
          coverageProfile(
            list.map((r) => r.x),
            {
              weights: list.map((r) => r.weight),
              ...(clustered ? { clusters: list.map((r) => r.cluster) } : {}),
            },
          ).toJSON();
        expect(report(rows)).toEqual(report(kept));
      }),
      settings,
    );
  });
});

describe('curve and band', () => {
  it('runs over powers of two until nothing is left', () => {
    const profile = coverageProfile([Math.log(5), 0, 0, 0]);
    expect(profile.curve().map((point) => [point.N, point.value])).toEqual([
      [1, 1],
      [2, 0.25],
      [4, 0.25],
      [8, 0],
    ]);
    expect(profile.curve([3.5])).toHaveLength(1);
    expect(coverageProfile([1e4]).curve()).toHaveLength(64);
    expect(
      coverageProfile([-1, -2])
        .curve()
        .map((point) => point.N),
    ).toEqual([1]);
  });

  it('has the Dvoretzky-Kiefer-Wolfowitz-Massart half-width', () => {
    const values = new Array(200).fill(1);
    expect(coverageProfile(values).band).toBeCloseTo(Math.sqrt(Math.log(40) / 400), 14);
    expect(coverageProfile(values, { confidence: 0.99 }).band).toBeCloseTo(Math.sqrt(Math.log(200) / 400), 14);
    const clusters = values.map((_, i) => (i < 100 ? 0 : i));
    const effective = 200 ** 2 / (100 ** 2 + 100);
    expect(coverageProfile(values, { clusters }).band).toBeCloseTo(Math.sqrt(Math.log(40) / (2 * effective)), 14);
    const weights = values.map((_, i) => (i < 50 ? 1 : 0));
    expect(coverageProfile(values, { weights }).band).toBeCloseTo(Math.sqrt(Math.log(40) / 100), 14);
    expect(coverageProfile([1]).band).toBe(1);
    for (const { value, bandLower, bandUpper } of coverageProfile(values).curve()) {
      expect(bandLower).toBeCloseTo(Math.max(0, value - 0.096), 3);
      expect(bandUpper).toBeCloseTo(Math.min(1, value + 0.096), 3);
    }
  });
});

describe('bestOfN and plan', () => {
  const stream = new PhiloxStream(11);
  const logRatios = Float64Array.from({ length: 3000 }, () => -1.3 * Math.log(stream.uniform()) - 0.5);
  const profile = coverageProfile(logRatios);

  it('finds the least bound among thousands of steps', () => {
    for (const N of [1, 7, 100, 1e4, 1e9]) {
      for (const offset of [0, profile.band]) {
        let least = 1;
        for (const x of [0, ...logRatios]) {
          const cov = logRatios.filter((l) => l > x).length / 3000 + offset;
          if (x >= 0 && cov <= 0.5) least = Math.min(least, cov + Math.exp(-N / (2 * Math.exp(x))));
        }
        const bracket = profile.bestOfN(N);
        expect(offset === 0 ? bracket.upper : bracket.band.upper).toBeCloseTo(least, 12);
      }
    }
  }, 30_000);

  it('keeps its ends in order', () => {
    fc.assert(
      fc.property(sample, fc.double({ min: 1, max: 1e6, noNaN: true }), (list, N) => {
        const { lower, upper, band } = coverageProfile(list).bestOfN(N);
        expect(0 <= band.lower && band.lower <= lower && lower <= upper && upper <= band.upper).toBe(true);
        expect(band.upper).toBeLessThanOrEqual(1);
      }),
      settings,
    );
    expect(profile.bestOfN(1).lower).toBe(0);
    const far = coverageProfile([5, 5, 5]).bestOfN(9);
    expect(far).toMatchObject({ lower: 0.5, M: Math.exp(5), band: { upper: 1 } });
    expect(far.band.lower).toBeCloseTo((1 - Math.sqrt(Math.log(40) / 6)) / 2, 14);
    expect(far.upper).toBeCloseTo(Math.exp(-9 / (2 * Math.exp(5))), 14);
    expect(coverageProfile([INFINITY, INFINITY]).bestOfN(9)).toMatchObject({ lower: 0.5, upper: 1, M: INFINITY });
  });

  it('plans the smallest N that bestOfN confirms', () => {
    fc.assert(
      fc.property(sample, fc.double({ min: 1e-6, max: 1, noNaN: true }), fc.boolean(), (list, target, confident) => {
        const some = coverageProfile(list);
        const upper = (N: number) => (confident ? some.bestOfN(N).band.upper : some.bestOfN(N).upper);
        const N = some.plan({ regret: target, confident });
        if (N === INFINITY) {
          expect(upper(1e15) - target).toBeGreaterThanOrEqual(0);
          return;
        }
        expect(Number.isInteger(N) && N >= 1).toBe(true);
        expect(upper(N)).toBeLessThanOrEqual(target);
        if (N > 1) expect(upper(N - 1)).toBeGreaterThan(target);
      }),
      settings,
    );
    expect(profile.plan({ regret: 0.2 })).toBeLessThan(profile.plan({ regret: 0.2, confident: true }));
    expect(profile.plan({ regret: 1 })).toBe(1);
    expect(profile.plan({ regret: 0 })).toBe(INFINITY);
    expect(coverageProfile([-1, -1, -1, 0]).plan({ regret: 1e-6 })).toBe(28);
  });
});

describe('toJSON', () => {
  it('is plain data that survives JSON', () => {
    const clusters = [1, 1, 2, 2, 3];
    const report = coverageProfile([0, 0.5, 1, 1.5, 2], { clusters }).toJSON();
    expect(report).toMatchObject({ n: 5, clusters: 3, confidence: 0.95 });
    expect(report.curve.map((point) => point.N)).toEqual([1, 2, 4, 8]);
    expect(report.bestOfN.map((bracket) => bracket.N)).toEqual([1, 2, 4, 8]);
    expect(report.inverse.map(({ coverage }) => coverage)).toEqual([0.5, 0.2, 0.1, 0.05, 0.01]);
    expect(JSON.parse(JSON.stringify(report)).kl.value).toBe(1);
    expect(coverageProfile([0, 1]).toJSON().clusters).toBeNull();
  });
});

describe('refusals', () => {
  it('copies its input', () => {
    const mutable = Float64Array.of(0, 1, 2);
    const profile = coverageProfile(mutable);
    mutable.fill(9);
    expect(profile.at(Math.exp(5)).value).toBe(0);
    expect(profile.kl.value).toBe(1);
  });

  it.each([
    [[], {}, 'ERR_COVN_SHAPE'],
    [[0, Number.NaN], {}, 'ERR_COVN_NON_FINITE'],
    [[0, Number.NEGATIVE_INFINITY], {}, 'ERR_COVN_NON_FINITE'],
    [[0, 1], { clusters: [1] }, 'ERR_COVN_SHAPE'],
    [[0, 1], { clusters: [1, 1] }, 'ERR_COVN_RANGE'],
    [[0, 1], { weights: [1] }, 'ERR_COVN_SHAPE'],
    [[0, 1], { weights: [1, -1] }, 'ERR_COVN_RANGE'],
    [[0, 1], { weights: [1, Number.NaN] }, 'ERR_COVN_RANGE'],
    [[0, 1], { weights: [1, INFINITY] }, 'ERR_COVN_RANGE'],
    [[0, 1], { weights: [0, 0] }, 'ERR_COVN_RANGE'],
    [[0, 1], { confidence: 0 }, 'ERR_COVN_RANGE'],
    [[0, 1], { confident: 0.9 }, 'ERR_COVN_DTYPE'],
    [[0, '1'], {}, 'ERR_COVN_DTYPE'],
    ['01', {}, 'ERR_COVN_DTYPE'],
    [[0, 1], null, 'ERR_COVN_DTYPE'],
  ])('%j with %j: %s', (logRatios, options, code) => {
    expect(() => coverageProfile(logRatios as number[], options as object)).toThrow(expect.objectContaining({ code }));
  });

  it('names the place', () => {
    expect(() => coverageProfile([0, Number.NaN])).toThrow(/for logRatios\[1\] but received NaN/);
  });

  it('refuses arguments outside their ranges', () => {
    const profile = coverageProfile([0, 1]);
    for (const N of [0.5, 0, Number.NaN, INFINITY]) {
      expect(() => profile.at(N)).toThrow(RangeError);
      expect(() => profile.bestOfN(N)).toThrow(RangeError);
      expect(() => profile.curve([N])).toThrow(RangeError);
    }
    for (const c of [-0.1, 1.1, Number.NaN]) {
      expect(() => profile.inverse(c)).toThrow(RangeError);
      expect(() => profile.plan({ regret: c })).toThrow(RangeError);
    }
    expect(() => profile.plan({ regret: 0.1, sure: true } as never)).toThrow(TypeError);
    expect(() => profile.at('2' as never)).toThrow(TypeError);
  });
});
