/** Figures 1 and 2 and the scaling of maximum likelihood, at sizes of a few seconds, against closed forms. */

import { describe, expect, test } from 'vitest';
import { fig1, fig2, scaling } from '../lib/lab/index.ts';

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

describe('fig1', () => {
  test.each([
    ['SGD', 0],
    ['Adam', 1],
  ] as const)(
    '%s: KL falls while coverage and Pass@N turn back, and the tournament chooses better',
    async (_, adam) => {
      const small = { prompts: 10_000, validation: 1000, draws: 24, adam };
      const { values } = await fig1.run(small, { seed: 0 });
      const { checkpoints, leastKl, choices } = values;
      // Uniform over four valid paths: every ratio is 4, a tie, which counts.
      expect(checkpoints[0]).toMatchObject({ theta: [0, 0, 0, 0], kl: expect.closeTo(Math.log(4), 12) });
      expect(checkpoints[0]!.coverage).toEqual([1, 1, 1, 0, 0]);
      for (const [k, { kl }] of checkpoints.entries()) {
        if (k > 0) expect(kl).toBeLessThanOrEqual(checkpoints[k - 1]!.kl + 0.002);
      }
      const cov4 = checkpoints.map(({ coverage }) => coverage[2]!);
      const zeros = cov4.lastIndexOf(0);
      expect(zeros).toBeGreaterThanOrEqual(5);
      expect(cov4.slice(1, zeros + 1)).toEqual(Array(zeros).fill(0));
      for (const coverage of cov4.slice(zeros + 1)) expect(coverage).toBeCloseTo(0.1, 12);
      expect(cov4.length).toBeGreaterThan(zeros + 1);
      // Cov_2 cannot fall below 0.1 for a model that does not see the class.
      for (const { coverage } of checkpoints) expect(coverage[0]!).toBeGreaterThanOrEqual(0.1 - 1e-12);
      expect(Math.abs(leastKl.pass8 - 0.957)).toBeLessThanOrEqual(0.003);
      expect(Math.abs(leastKl.sampled.value - 0.957)).toBeLessThanOrEqual(0.015);
      for (const { pass8, coverage4, tied, tiedPass8, checkpoint } of choices) {
        expect([pass8 >= 0.99, coverage4]).toEqual([true, 0]);
        expect(tied).toContain(checkpoint);
        expect(tiedPass8.least <= pass8 && pass8 <= tiedPass8.most).toBe(true);
      }
      expect(choices.map(({ N }) => N)).toEqual([2, 4, 8]);
    },
  );

  test('checkpoints are measured as their two numbers say (4.7)', async () => {
    const { values } = await fig1.run({ prompts: 2000, validation: 200, draws: 12 }, { seed: 5 });
    for (const { theta, kl, coverage, passExact, pass } of values.checkpoints) {
      // q: the first fork takes the class of G1; w: the second repeats the first one's class.
      const [q, w] = [sigmoid(0.2 * theta[2]!), sigmoid(theta[3]!)];
      const paths = [q * w, (1 - q) * w];
      const mix = (of: (path: number) => number) => 0.9 * of(paths[0]!) + 0.1 * of(paths[1]!);
      expect(kl).toBeCloseTo(
        mix((path) => -Math.log(path)),
        9,
      );
      for (const [i, N] of [4, 8, 12].entries()) {
        const exact = mix((path) => 1 - (1 - path) ** N);
        expect(passExact[i]).toBeCloseTo(exact, 9);
        // 200 prompts of 12 draws: the spread of Pass@12 is that of 0/1. Five standard deviations, seed fixed.
        expect(Math.abs(pass[i]!.value - exact)).toBeLessThan(5 * Math.sqrt(0.25 / 200));
      }
      for (const [i, N] of [2, 3, 4.6, 5.7].entries()) {
        const at = [0, 1, 3, 4][i]!;
        expect(coverage[at]).toBeCloseTo(
          mix((path) => (-Math.log(path) >= Math.log(N) ? 1 : 0)),
          12,
        );
      }
    }
    // The same seed gives the same numbers on one thread.
    const again = await fig1.run({ prompts: 2000, validation: 200, draws: 12 }, { seed: 5, threads: 1 });
    expect(again.values).toEqual(values);
  });
});

describe('fig2', () => {
  test('KL grows with H as 0.05 (H/2) log 2, coverage does not', async () => {
    const { values } = await fig2.run({ steps: 400, prompts: 2000, validation: 32 }, { seed: 0 });
    const { line, ends, runs } = values;
    expect(Math.abs(line.slope / (0.025 * Math.LN2) - 1)).toBeLessThanOrEqual(0.05);
    expect(line.r2).toBeGreaterThanOrEqual(0.98);
    for (const { cov8, cov16, tie, H } of ends) {
      expect(Math.abs(cov8.value - 0.05)).toBeLessThanOrEqual(0.01);
      expect(tie).toBe(H === 8);
      if (!tie) expect(Math.abs(cov16.value - 0.05)).toBeLessThanOrEqual(0.01);
      // At the tie those of either rule are on one side of 16.
      else expect(cov16.value).toBeLessThanOrEqual(0.05 + 1e-9);
    }
    expect(ends[0]!.ratio < ends[1]!.ratio && ends[1]!.ratio < ends[2]!.ratio).toBe(true);
    // From nothing: at first every node of the graph is as likely, and so on to what the classes cannot tell.
    for (const { checkpoints } of runs) expect(checkpoints[0]!.kl).toBeGreaterThan(2 * checkpoints.at(-1)!.kl);
  });
});

describe('fig2 on several runs', () => {
  test('has medians and bands', async () => {
    const tiny = { seeds: 3, steps: 16, prompts: 200, validation: 16 };
    const { values, figure } = await fig2.run(tiny, { seed: 1 });
    for (const { H, kl } of values.ends) {
      const all = values.runs.filter((run) => run.H === H).map(({ checkpoints }) => checkpoints.at(-1)!.kl);
      const [least, middle, most] = all.sort((a, b) => a - b) as [number, number, number];
      expect(kl.value).toBe(middle);
      // The quantiles 1/16 and 15/16 of three values lie an eighth of the way in.
      expect(kl.lower).toBeCloseTo(least + (middle - least) / 8, 12);
      expect(kl.upper).toBeCloseTo(most - (most - middle) / 8, 12);
    }
    expect(figure.panels[0]!.series[0]!.points).toHaveLength(8);
  });
});

describe('scaling', () => {
  test('coverage falls with data and with N, within the bound from KL', async () => {
    const { values } = await scaling.run({ datasets: 8 }, { seed: 0 });
    for (const [i, { kl, coverage, profile }] of values.rows.entries()) {
      for (const list of [coverage, profile]) {
        for (let k = 1; k < list.length; k++) expect(list[k]!).toBeLessThanOrEqual(list[k - 1]! + 1e-12);
      }
      for (const [k, N] of values.Ns.entries()) {
        // Prop 3.1 holds for means over data sets too.
        expect(coverage[k]!).toBeLessThanOrEqual(kl / (Math.log(N) - 1 + 1 / N));
      }
      if (i > 1) expect(kl).toBeLessThan(values.rows[i - 2]!.kl);
    }
    // d / (2 n) for the maximum likelihood of d parameters, where n is large: 12 / (2 * 2048), 8 sets, seed fixed.
    expect(values.rows.at(-1)!.kl / (12 / 4096)).toBeCloseTo(1, 0);
  });
});
