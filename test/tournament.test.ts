import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { devices, pairwiseCoverage, tournament } from '../lib/index.ts';
import { testRandom } from './oracles/logprob.ts';

/** Eq. 28 by plain loops: share of responses where log pi_j - log pi_i >= log N. */
function coverage(logProbs: ArrayLike<number>, models: number, i: number, j: number, N: number): number {
  const n = logProbs.length / models;
  let count = 0;
  for (let r = 0; r < n; r++) {
    if (logProbs[j * n + r]! - logProbs[i * n + r]! >= Math.log(N)) count++;
  }
  return count / n;
}

function worst(logProbs: ArrayLike<number>, models: number, i: number, N: number): number {
  return Math.max(0, ...Array.from({ length: models }, (_, j) => (j === i ? 0 : coverage(logProbs, models, i, j, N))));
}

const logProb = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: -40, max: 0 }).map((k) => (k * Math.LN2) / 2) },
  { weight: 1, arbitrary: fc.constant(Number.NEGATIVE_INFINITY) },
);
const matrix = fc
  .record({ models: fc.integer({ min: 1, max: 6 }), n: fc.integer({ min: 1, max: 40 }) })
  .chain(({ models, n }) =>
    fc.record({
      models: fc.constant(models),
      logProbs: fc
        .array(logProb, { minLength: models * n, maxLength: models * n })
        .map((list) => Float64Array.from(list)),
    }),
  );

describe('pairwiseCoverage', () => {
  test('counts exactly, ties included, on every device', async () => {
    await fc.assert(
      fc.asyncProperty(matrix, async ({ models, logProbs }) => {
        const Ns = [1, 2, 4, 3.7, 2 ** 9];
        for (const { name, available } of devices()) {
          if (!available) continue;
          const all = await pairwiseCoverage({ logProbs, models, N: Ns, device: name });
          for (const [k, N] of Ns.entries()) {
            for (let i = 0; i < models; i++) {
              for (let j = 0; j < models; j++) {
                expect(all[(k * models + i) * models + j]).toBe(coverage(logProbs, models, i, j, N));
              }
            }
          }
        }
      }),
      { seed: 1, numRuns: 60 },
    );
  });

  test('large inputs are cut into chunks without loss', async () => {
    const random = testRandom(3);
    const [models, n] = [3, 10_007];
    const logProbs = Float64Array.from({ length: models * n }, () => -random.integer(20) * 0.25);
    const all = await pairwiseCoverage({ logProbs, models, N: [1, 2], threads: 2 });
    expect(all[models * models + 1]).toBe(coverage(logProbs, models, 0, 1, 2));
    expect(all[2]).toBe(coverage(logProbs, models, 0, 2, 1));
  });
});

describe('tournament', () => {
  test('chooses argmin_i max_j Cov_N(j ‖ i) and breaks ties down the ladder', async () => {
    await fc.assert(
      fc.asyncProperty(matrix, fc.constantFrom(1, 2, 4, 64), async ({ models, logProbs }, N) => {
        const t = await tournament({ logProbs, models, N, bootstrap: 100 });
        const all = Array.from({ length: models }, (_, i) => i);
        const scores = all.map((i) => worst(logProbs, models, i, N));
        expect([...t.scores]).toEqual(scores);
        let tied = all.filter((i) => scores[i] === Math.min(...scores));
        expect(t.tied).toEqual(tied);
        for (let halving = 1; halving <= 10 && tied.length > 1; halving++) {
          const at = tied.map((i) => worst(logProbs, models, i, Math.exp(Math.log(N) / 2 ** halving)));
          tied = tied.filter((_, k) => at[k] === Math.min(...at));
        }
        expect(tied).toContain(t.winner);
        expect(t.ladder.at(-1)!.tied).toEqual(tied);
        const sums = all.map((i) =>
          logProbs
            .subarray((i * logProbs.length) / models, ((i + 1) * logProbs.length) / models)
            .reduce((a, b) => a + b, 0),
        );
        expect(sums[t.winner]).toBeCloseTo(Math.max(...tied.map((i) => sums[i]!)), 9);
        expect(sums[t.minCrossEntropy]).toBeCloseTo(Math.max(...sums), 9);
        for (const i of all) {
          if (models > 1) expect(coverage(logProbs, models, i, t.worstOpponent[i]!, N)).toBe(scores[i]);
        }
      }),
      { seed: 2, numRuns: 150 },
    );
  });

  // Prop E.1 (Appendix E): x in {+,-}, mu(-) = p = alpha^2 / (32 log M), pi_D = Ber(1/2) for both; frequencies are set to
  // their expectations. Model 1 is off by a factor e^alpha at +, model 2 by a factor M at the rare -.
  test('Prop E.1: least cross-entropy picks the model of poor coverage, the tournament does not', async () => {
    const [alpha, M, n] = [2, 1e6, 4000];
    const minus = Math.round((alpha ** 2 / (32 * Math.log(M))) * n);
    const rows = (low: number, isOff: (isMinus: boolean) => boolean) =>
      Array.from({ length: n }, (_, i) => Math.log(isOff(i < minus) ? (i % 2 === 1 ? low : 1 - low) : 0.5));
    const one = rows(1 / (2 * Math.exp(alpha)), (isMinus) => !isMinus);
    const two = rows(1 / (2 * M), (isMinus) => isMinus);
    const logProbs = Float64Array.from([...one, ...two]);
    for (const N of [Math.exp(alpha) * 1.01, 1000]) {
      const t = await tournament({ logProbs, models: 2, N });
      expect(t.minCrossEntropy).toBe(1);
      expect(t.winner).toBe(0);
      expect(t.scores[0]).toBe(0);
      expect(t.scores[1]).toBe(minus / 2 / n);
      expect(t.difference.value).toBe(minus / 2 / n);
    }
  });

  test('says what the difference from cross-entropy costs, and whether it is significant', async () => {
    // Model 0 is a little better nearly everywhere and hopeless on 1 response in 20; model 1 covers everything.
    const n = 2000;
    const zero = Array.from({ length: n }, (_, i) => (i % 20 === 0 ? -16 : -10));
    const one = Array.from({ length: n }, (_, i) => (i % 20 === 0 ? -10 : -10.5));
    const t = await tournament({
      logProbs: Float64Array.from([...zero, ...one]),
      models: 2,
      N: 8,
      names: ['sharp', 'broad'],
    });
    expect(t.minCrossEntropy).toBe(0);
    expect(t.winner).toBe(1);
    expect(t.difference.value).toBeCloseTo(0.05, 12);
    expect(t.difference.lower).toBeGreaterThan(0);
    expect(t.significant).toBe(true);
    expect([...t.selectionProbability]).toEqual([0, 1]);
    // Near the binomial's normal interval, 0.05 +- 1.96 sqrt(0.05 * 0.95 / 2000).
    expect(Math.abs(t.difference.lower - (0.05 - 0.00955))).toBeLessThan(0.0015);
    expect(Math.abs(t.difference.upper - (0.05 + 0.00955))).toBeLessThan(0.0015);
    expect(JSON.parse(JSON.stringify(t))).toMatchObject({ winner: { model: 1, name: 'broad' }, significant: true });
  });

  test('does not claim to know what no response showed', async () => {
    const one = await tournament({ logProbs: Float64Array.of(-1, -2), models: 2, N: 2 });
    expect(one.scoreEstimates[0]).toMatchObject({ value: 0, lower: 0 });
    expect(one.scoreEstimates[0]!.upper).toBeCloseTo(0.975, 12);
    expect(one.scoreEstimates[1]).toMatchObject({ value: 1, upper: 1 });
    expect(one.scoreEstimates[1]!.lower).toBeCloseTo(0.025, 12);
    // No gap in 30 responses: 1 - 0.025^(1/30) may still be one (the exact binomial limit).
    const logProbs = Float64Array.from({ length: 60 }, (_, i) => -1 - (i % 30));
    const none = await tournament({ logProbs, models: 2, N: 2 });
    expect(none.scoreEstimates[0]!.lower).toBe(0);
    expect(none.scoreEstimates[0]!.upper).toBeCloseTo(1 - 0.025 ** (1 / 30), 9);
    // A model that covers nothing of two responses is not significantly worse.
    const two = await tournament({ logProbs: Float64Array.of(-9, -1, -1, -8.5), models: 2, N: 64 });
    expect(two.significant).toBe(false);
    const chosen = await tournament({ logProbs: Float64Array.of(-1, -1, -10, -10), models: 2, N: 2 });
    expect(chosen.difference).toMatchObject({ value: 0, lower: 0, upper: 0, method: 'the same model' });
  });

  test('the interval of a score against the quantiles of the binomial that the bootstrap draws from', async () => {
    // 1000 responses, 300 of them with a gap: a replicate's count is Binomial(1000, 0.3), and Student's t with 999 degrees
    // of freedom asks for its quantiles at 0.0249; the exact interval is about as wide.
    const gaps = Array.from({ length: 1000 }, (_, i) => (i % 10 < 3 ? -9 : -2));
    const logProbs = Float64Array.from([...gaps, ...gaps.map(() => -2.5)]);
    const input = { logProbs, models: 2, N: 4, bootstrap: 40_000 };
    for (const [confidence, z] of [
      [0.95, 1.96],
      [0.8, 1.2816],
      [0.999, 3.2905],
    ] as const) {
      const { scoreEstimates } = await tournament({ ...input, confidence });
      const half = z * Math.sqrt((0.3 * 0.7) / 1000);
      expect(Math.abs(0.3 - scoreEstimates[0]!.lower - half)).toBeLessThan(0.0025);
      expect(Math.abs(scoreEstimates[0]!.upper - 0.3 - half)).toBeLessThan(0.0025);
    }
  });

  test('hands back what was transferred', async () => {
    const values = Float64Array.of(-1, -2, -3, -4);
    for (const call of [tournament, pairwiseCoverage] as const) {
      const logProbs = values.slice();
      const result = (await call({ logProbs, models: 2, N: 2, ownership: 'transfer' } as never)) as {
        logProbs?: object;
      };
      expect(logProbs.length).toBe(0);
      expect(result.logProbs).toEqual(values);
    }
  });

  test('two models alike: no difference, not significant', async () => {
    const random = testRandom(9);
    const n = 500;
    const base = Array.from({ length: n }, () => -20 * random.uniform());
    const logProbs = Float64Array.from([...base, ...base.map((x) => x + random.normal())]);
    const t = await tournament({ logProbs, models: 2, N: 64 });
    expect(t.significant).toBe(false);
    expect(t.difference.lower).toBeLessThanOrEqual(0);
    expect(t.difference.upper).toBeGreaterThanOrEqual(0);
  });

  test('clusters widen the interval', async () => {
    // 40 documents of 50 sentences, each wholly covered or wholly not.
    const clusters = Int32Array.from({ length: 2000 }, (_, i) => Math.floor(i / 50));
    const bad = Array.from(clusters, (c) => (c % 4 === 0 ? -20 : -10));
    const good = Array.from(clusters, () => -10.1);
    const input = { logProbs: Float64Array.from([...bad, ...good]), models: 2, N: 8 };
    const width = (e: { lower: number; upper: number }) => e.upper - e.lower;
    const plain = await tournament(input);
    const clustered = await tournament({ ...input, clusters });
    expect(width(clustered.scoreEstimates[0]!)).toBeGreaterThan(4 * width(plain.scoreEstimates[0]!));
    expect(width(clustered.crossEntropy[0]!)).toBeGreaterThan(4 * width(plain.crossEntropy[0]!));
  });

  test('a list of N gives a list; the seed decides, the threads do not', async () => {
    const random = testRandom(4);
    const logProbs = Float64Array.from({ length: 4 * 300 }, () => -10 * random.uniform());
    const input = { logProbs, models: 4, N: [2, 8], seed: 5 };
    const [two, eight] = await tournament({ ...input, threads: 1 });
    const again = await tournament({ ...input, threads: 2 });
    expect([two!.N, eight!.N]).toEqual([2, 8]);
    expect(JSON.stringify(await tournament({ ...input, N: 8 }))).toBe(JSON.stringify(eight));
    expect(JSON.stringify(again)).toBe(JSON.stringify([two, eight]));
    const other = await tournament({ ...input, seed: 6 });
    expect(JSON.stringify(other)).not.toBe(JSON.stringify(again));
  });
});

describe('bad input', () => {
  const good = { logProbs: Float64Array.of(-1, -2, -3, -4), models: 2, N: 2 };
  const cases: [string, object, string, string][] = [
    ['a plain array', { ...good, logProbs: [-1, -2] }, 'ERR_COVN_DTYPE', 'logProbs'],
    [
      'NaN',
      { ...good, logProbs: Float64Array.of(-1, -2, -3, Number.NaN) },
      'ERR_COVN_NON_FINITE',
      'model 1, response 1',
    ],
    [
      '+Infinity',
      { ...good, logProbs: Float64Array.of(Number.POSITIVE_INFINITY, -2) },
      'ERR_COVN_NON_FINITE',
      'logProbs[0]',
    ],
    ['a length that models does not divide', { ...good, models: 3 }, 'ERR_COVN_SHAPE', 'logProbs'],
    ['no responses', { ...good, logProbs: new Float64Array(0) }, 'ERR_COVN_SHAPE', 'logProbs'],
    ['no models', { ...good, models: 0 }, 'ERR_COVN_RANGE', 'models'],
    ['N below 1', { ...good, N: 0.5 }, 'ERR_COVN_RANGE', 'N'],
    ['N NaN', { ...good, N: [2, Number.NaN] }, 'ERR_COVN_RANGE', 'N[1]'],
    ['no N', { ...good, N: [] }, 'ERR_COVN_SHAPE', 'N'],
    ['an unknown key', { ...good, reps: 5 }, 'ERR_COVN_DTYPE', 'reps'],
  ];
  for (const [what, input, code, place] of cases) {
    test(what, async () => {
      for (const call of [pairwiseCoverage, tournament]) {
        const error = await call(input as never).catch((e: Error) => e);
        expect(error).toMatchObject({ code });
        expect((error as Error).message).toContain(place);
      }
    });
  }
  test('options of the tournament', async () => {
    for (const [more, code] of [
      [{ names: ['one'] }, 'ERR_COVN_SHAPE'],
      [{ bootstrap: 5 }, 'ERR_COVN_RANGE'],
      [{ bootstrap: 1000, confidence: 0.9999 }, 'ERR_COVN_RANGE'],
      [{ seed: -1 }, 'ERR_COVN_RANGE'],
      [{ confidence: 1 }, 'ERR_COVN_RANGE'],
      [{ clusters: ['a'] }, 'ERR_COVN_SHAPE'],
      [{ clusters: ['a', 'a'] }, 'ERR_COVN_RANGE'],
    ] as const) {
      await expect(tournament({ ...good, ...more } as never)).rejects.toMatchObject({ code });
    }
  });
});
