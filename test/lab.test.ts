/** Experiments in closed form, against enumeration and formulas of their own. */

import { describe, expect, test } from 'vitest';
import { TabularModel, tournament } from '../lib/index.ts';
import { binomialTail } from '../lib/lab/binomial.ts';
import { compare } from '../lib/lab/convert/bounds.ts';
import { nearlyTight } from '../lib/lab/convert/instances.ts';
import { iidCoverage, iidKl, iidMachine } from '../lib/lab/iid.ts';
import { convert, experiments, missingMass, misspecified } from '../lib/lab/index.ts';
import { crossEntropyFails, tournamentFails } from '../lib/lab/misspecified.ts';
import { binomialAtLeast } from './oracles/binomial.ts';
import { listResponses, random, responsesOf } from './support/machines.ts';

/** Cov_N and KL by listing all responses. */
function listed(reference: number[], model: number[], H: number, N: number) {
  const all = listResponses(iidMachine([reference], H), 0, H);
  const ratios = all.map(({ tokens, logProb }) => ({
    logProb,
    ratio: tokens.reduce((sum, a) => sum + (reference[a]! - model[a]!), 0),
  }));
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  return {
    coverage: sum(ratios.filter(({ ratio }) => ratio >= Math.log(N)).map(({ logProb }) => Math.exp(logProb))),
    kl: sum(ratios.map(({ logProb, ratio }) => Math.exp(logProb) * ratio)),
  };
}

const logs = (weights: number[]) => weights.map((w) => Math.log(w / weights.reduce((a, b) => a + b)));

describe('tokens that are independent and alike', () => {
  test('coverage and KL are those of all responses listed', () => {
    const draw = random(11);
    for (let i = 0; i < 60; i++) {
      const vocab = 2 + (i % 2);
      const [reference, model] = [0, 1].map(() => logs(Array.from({ length: vocab }, () => draw() ** 3 + 1e-3)));
      const H = 1 + (i % 7);
      const N = 1 + 10 * draw();
      const expected = listed(reference!, model!, H, N);
      expect(Math.abs(iidCoverage(reference!, model!, H, Math.log(N)) - expected.coverage)).toBeLessThan(1e-12);
      expect(Math.abs(iidKl(reference!, model!, H) - expected.kl)).toBeLessThan(1e-12);
    }
  });

  test('ties count, and a model against itself is covered', () => {
    const [half, quarter] = [logs([1, 1]), logs([1, 3])];
    // The ratio of a first token is exactly 2.
    expect(iidCoverage(half, quarter, 1, Math.LN2)).toBeCloseTo(0.5, 14);
    expect(iidCoverage(half, quarter, 1, Math.LN2 + 1e-9)).toBe(0);
    expect(iidCoverage(half, half, 100, 0)).toBe(1);
    expect(iidCoverage(half, half, 100, 0.01)).toBe(0);
    // The token order of a machine does not matter.
    expect(iidCoverage(logs([1, 2, 3]), logs([3, 2, 1]), 50, 2)).toBeCloseTo(
      iidCoverage(logs([3, 2, 1]), logs([1, 2, 3]), 50, 2),
      13,
    );
  });

  test('binomial tails', () => {
    for (const [n, p] of [
      [1, 0.3],
      [40, 0.02],
      [1024, 0.999],
      [700, 0.5],
    ] as const) {
      for (const k of [0, 1, Math.round(n * p), n, n + 1]) {
        expect(Math.abs(binomialTail(n, p, k) - (k > n ? 0 : binomialAtLeast(k, n, p)))).toBeLessThan(1e-11);
      }
    }
    expect([binomialTail(5, 0, 1), binomialTail(5, 1, 5), binomialTail(5, 0.5, -1)]).toEqual([0, 1, 1]);
  });

  test('the machine scores a response as its tokens', async () => {
    const model = new TabularModel(iidMachine([logs([1, 3]), logs([2, 1])], 3));
    const scored = await model.logProb(
      responsesOf(
        [0, 1],
        [
          [0, 1, 1],
          [1, 0, 0],
        ],
      ),
    );
    expect(scored[0]).toBeCloseTo(Math.log((1 / 4) * (3 / 4) ** 2), 12);
    expect(scored[1]).toBeCloseTo(Math.log((1 / 3) * (2 / 3) ** 2), 12);
  });
});

describe('missing-mass', () => {
  test('measures what is exact', async () => {
    const { values } = await missingMass.run({}, { seed: 3 });
    for (const row of values.coin) {
      expect(row.infiniteKlExact).toBeCloseTo(0.98 ** row.n + 0.02 ** row.n, 14);
      expect(row.unseen).toEqual({ kl: Number.POSITIVE_INFINITY, coverage: 0.02 });
      // Five standard deviations at 8 sizes, seed fixed: a false alarm in 5e-6 of seeds.
      const deviation = Math.sqrt((row.infiniteKlExact * (1 - row.infiniteKlExact)) / 1000);
      expect(Math.abs(row.infiniteKl.value - row.infiniteKlExact)).toBeLessThanOrEqual(5 * deviation + 1e-9);
      // Cov_16 is 0.02 without a 1, and 0 with one: k/n < 0.02/16 needs n > 800.
      expect(row.coverageExact).toBeCloseTo(0.02 * 0.98 ** row.n + 0.98 * 0.02 ** row.n, 14);
      expect(row.coverage).toBeCloseTo(0.02 * row.infiniteKl.value, 12);
    }
    for (const row of values.long) {
      // P[+1] = e / (e + 1/e) where the estimate has 1/2; the ratio is (2p)^k (2 - 2p)^(H - k).
      const p = Math.E / (Math.E + 1 / Math.E);
      const perToken = p * Math.log(2 * p) + (1 - p) * Math.log(2 - 2 * p);
      expect(row.klExact).toBeCloseTo((row.H * perToken) / 128, 12);
      const k = Math.ceil((Math.log(16) - row.H * Math.log(2 - 2 * p)) / Math.log(p / (1 - p)));
      expect(row.coverageExact).toBeCloseTo(binomialAtLeast(k, row.H, p) / 128, 12);
      expect(row.coverageExact).toBeLessThanOrEqual(1 / 128);
      // 4000 responses, 5 standard deviations: for 7 lengths a false alarm in 4e-6 of seeds.
      const share = 128 * row.coverageExact;
      expect(Math.abs(128 * row.coverage.value - share)).toBeLessThanOrEqual(
        5 * Math.sqrt((share * (1 - share)) / 4000) + 1e-9,
      );
      const spread = Math.log(p / (1 - p)) * Math.sqrt(row.H * p * (1 - p));
      expect(Math.abs(128 * (row.kl.value - row.klExact))).toBeLessThan((5 * spread) / Math.sqrt(4000));
    }
    expect(values.unseen.exact).toBeGreaterThan(0.5);
    expect(Math.abs(values.unseen.share.value - (1 - 1 / 128) ** 64)).toBeLessThan(5 * Math.sqrt(0.25 / 1000));
  });
});

describe('misspecified', () => {
  /** Both rules on every data set of n pairs (x, y), each with its probability. */
  async function enumerated(n: number) {
    const p = 1 / (32 * Math.log(1000));
    const atoms = [
      { weight: (1 - p) / 2, one: 1 - Math.exp(-1) / 2, two: 0.5 },
      { weight: (1 - p) / 2, one: Math.exp(-1) / 2, two: 0.5 },
      { weight: p / 2, one: 0.5, two: 1 - 1 / 2000 },
      { weight: p / 2, one: 0.5, two: 1 / 2000 },
    ];
    let [crossEntropy, byTournament] = [0, 0];
    for (let set = 0; set < 4 ** n; set++) {
      const rows = Array.from({ length: n }, (_, i) => atoms[Math.floor(set / 4 ** i) % 4]!);
      const logProbs = Float64Array.from([
        ...rows.map(({ one }) => Math.log(one)),
        ...rows.map(({ two }) => Math.log(two)),
      ]);
      const t = await tournament({ logProbs, models: 2, N: 8, bootstrap: 100 });
      const weight = rows.reduce((product, row) => product * row.weight, 1);
      crossEntropy += weight * t.minCrossEntropy;
      byTournament += weight * t.winner;
    }
    return { crossEntropy, byTournament };
  }

  test('the exact probabilities are those of all data sets listed', async () => {
    for (const n of [1, 2, 4]) {
      const { crossEntropy, byTournament } = await enumerated(n);
      expect(crossEntropyFails(n)).toBeCloseTo(crossEntropy, 12);
      expect(tournamentFails(n)).toBeCloseTo(byTournament, 12);
    }
  });

  test('measures what is exact: the rules, and the profiles', async () => {
    const datasets = 60;
    const { values } = await misspecified.run({ datasets }, { seed: 1 });
    // 14 shares, 5 standard deviations: a false alarm in 1e-5 of seeds.
    for (const row of values.rows) {
      for (const [seen, exact] of [
        [row.crossEntropy, row.crossEntropyExact],
        [row.tournament, row.tournamentExact],
      ] as const) {
        expect(Math.abs(seen.value - exact)).toBeLessThanOrEqual(
          5 * Math.sqrt((exact * (1 - exact)) / datasets) + 1e-9,
        );
      }
    }
    const last = values.rows.at(-1)!;
    expect([last.crossEntropy.value, last.tournament.value]).toEqual([1, 0]);
    const { p } = values;
    for (const { N, value } of values.models[0]!.coverage)
      if (N > 1.19) expect(value).toBeCloseTo(N > Math.E ? 0 : (1 - p) / 2, 12);
    for (const { N, value } of values.models[1]!.coverage)
      if (N > 1.19) expect(value).toBeCloseTo(N > 1000 ? 0 : p / 2, 12);
    const kl = (q: number) => 0.5 * Math.log(0.5 / q) + 0.5 * Math.log(0.5 / (1 - q));
    expect(values.models[0]!.kl).toBeCloseTo((1 - p) * kl(Math.exp(-1) / 2), 12);
    expect(values.models[1]!.kl).toBeCloseTo(p * kl(1 / 2000), 12);
  });
});

describe('convert', () => {
  test('no bound is broken, and the bound from KL is tight for the coin of Prop D.2', async () => {
    const { values } = await convert.run({ instances: 12 }, { seed: 2 });
    for (const { broken, instances } of values.summary) expect([broken, instances]).toEqual([0, 36]);
    for (const p of [0.001, 0.1, 0.5]) {
      const [first] = compare(nearlyTight(p, 8));
      const kl = p * Math.log(8) + (1 - p) * Math.log((1 - p) / (1 - p / 8));
      expect(first!.value).toBeCloseTo(p, 14);
      expect(first!.bound).toBeCloseTo(Math.min(1, kl / (Math.log(8) - 1 + 1 / 8)), 12);
    }
  });

  test('instances of tokens alike have the divergences of their tokens', async () => {
    const { values } = await convert.run({ instances: 4 }, { seed: 5 });
    for (const { family, comparisons } of values.rows) {
      if (family !== '200 tokens alike') continue;
      const of = (id: string) => comparisons.find((comparison) => comparison.id === id)!;
      // With the bounds undone: D.4 is 2 N / (sqrt N - 1)^2 times D_H^2 = 1 - (1 - h)^200; D.10 has min(log N, 200 kl).
      const [kl, coverage] = [of('D.3').value, of('D.1').value];
      expect(of('D.10').bound).toBeCloseTo(Math.min(1, (2 * Math.min(Math.log(8), kl)) / (Math.log(8) - 1)), 9);
      expect(of('D.1').bound).toBeCloseTo(Math.min(1, kl / (Math.log(8) - 1 + 1 / 8)), 9);
      expect(coverage).toBeLessThanOrEqual(of('D.4').bound + 1e-12);
    }
  });
});

describe('every experiment', () => {
  test('has a name, a sentence and settings that say what they are', () => {
    expect(new Set(experiments.map(({ name }) => name)).size).toBe(experiments.length);
    for (const { name, summary, settings } of experiments) {
      expect(name).toMatch(/^[a-z0-9-]+$/);
      expect(summary).toMatch(/^[A-Z].*\.$/);
      for (const setting of Object.values(settings)) {
        expect(setting.min <= setting.default && setting.default <= setting.max).toBe(true);
      }
    }
  });

  test('refuses settings that it does not have or that are out of range', async () => {
    await expect(convert.run({ instance: 3 } as object)).rejects.toThrow(/Expected one of instances/);
    await expect(convert.run({ instances: 1 })).rejects.toMatchObject({ code: 'ERR_COVN_RANGE' });
    await expect(convert.run({}, { seed: -1 })).rejects.toMatchObject({ code: 'ERR_COVN_RANGE' });
  });

  test('stops when asked, and gives the same on any number of threads', async () => {
    for (const experiment of [missingMass, misspecified, convert]) {
      const reason = new Error('enough');
      await expect(experiment.run({}, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      const controller = new AbortController();
      const running = experiment.run({}, { signal: controller.signal, onProgress: () => controller.abort(reason) });
      await expect(running).rejects.toBe(reason);
    }
    const small = { datasets: 20, responses: 200 };
    const [one, two] = await Promise.all([1, 2].map((threads) => missingMass.run(small, { seed: 9, threads })));
    expect(one).toEqual(two);
    expect((await missingMass.run(small, { seed: 10 })).values).not.toEqual(one!.values);
  });
});
