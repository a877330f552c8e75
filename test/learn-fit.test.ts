/** The learning rules, against plain loops; what they give does not depend on threads or chunks. */

import { describe, expect, test } from 'vitest';
import {
  type FitOptions,
  fit,
  LinearModel,
  type Responses,
  TabularModel,
  TestTimeModel,
  theoryStep,
  truncationWeights,
} from '../lib/index.ts';
import {
  linearInput,
  type PlainLinear,
  randomLinear,
  randomTheta,
  tabular,
  tokenGradient,
  tokenLogProbs,
  walk,
} from './oracles/linear.ts';
import { tokensOf } from './support/machines.ts';

const norm = (x: ArrayLike<number>): number => Math.sqrt(Array.from(x).reduce((sum, each) => sum + each * each, 0));
const clip = (x: number, lower: number, upper: number): number => Math.min(upper, Math.max(lower, x));
const projections = [
  {
    name: 'ball',
    projection: { ball: 0.8 },
    apply: (x: number[]) => x.map((each) => each * Math.min(1, 0.8 / norm(x))),
  },
  {
    name: 'box',
    projection: { box: [-0.3, 0.5] as const },
    apply: (x: number[]) => x.map((each) => clip(each, -0.3, 0.5)),
  },
  { name: 'none', projection: 'none' as const, apply: (x: number[]) => x },
];

/** Sum over a response's tokens of weights times gradients. */
function responseGradient(
  plain: PlainLinear,
  prompt: number,
  tokens: number[],
  theta: number[],
  weights?: Float64Array,
) {
  const gradient = theta.map(() => 0);
  for (const [h, { state, token }] of walk(plain, prompt, tokens).entries()) {
    for (const [k, x] of tokenGradient(plain, state, token, theta).entries()) gradient[k]! += (weights?.[h] ?? 1) * x;
  }
  return gradient;
}

type Step = (theta: number[], gradient: number[], t: number) => number[];
interface Plain {
  readonly plain: PlainLinear;
  readonly data: Responses;
  readonly apply: (x: number[]) => number[];
  readonly batch: number;
  readonly weigh?: (prompt: number, tokens: number[], theta: number[]) => Float64Array;
}

/** Iterates of a rule as a plain loop: [steps + 1]. */
function plainPath({ plain, data, apply, batch, weigh }: Plain, start: Float64Array, step: Step): number[][] {
  const tokens = tokensOf(data);
  const path = [apply([...start])];
  for (let i = 0; i < tokens.length; i += batch) {
    const theta = path.at(-1)!;
    const ids = [...tokens.keys()].slice(i, i + batch);
    const gradients = ids.map((r) =>
      responseGradient(plain, data.prompts[r]!, tokens[r]!, theta, weigh?.(data.prompts[r]!, tokens[r]!, theta)),
    );
    const mean = theta.map((_, k) => gradients.reduce((sum, g) => sum + g[k]!, 0) / ids.length);
    path.push(apply(step(theta, mean, path.length)));
  }
  return path;
}

const cases = [
  { seed: 1, dimension: 3, vocab: 3, states: 4 },
  { seed: 2, dimension: 9, vocab: 11, states: 5 },
  { seed: 3, dimension: 1, vocab: 2, states: 1 },
].map(({ seed, ...shape }) => {
  const plain = randomLinear(seed, { ...shape, prompts: 3 });
  const truth = new TabularModel(tabular(plain, randomTheta(seed, shape.dimension)));
  const start = randomTheta(seed + 7, shape.dimension, 0.3);
  return { seed, plain, truth, start, model: new LinearModel(linearInput(plain, start)) };
});
const drawn = (truth: TabularModel, N: number, seed: number) => truth.sample([0, 1, 2], { N, seed, maxLength: 12 });

describe('iterates are those of plain loops', () => {
  const eta = 0.15;
  const along = (theta: number[], g: number[], by: number) => theta.map((x, k) => x + by * g[k]!);
  const adam = (): Step => {
    const [first, second]: [number[], number[]] = [[], []];
    return (theta, g, t) =>
      theta.map((x, k) => {
        first[k] = 0.8 * (first[k] ?? 0) + 0.2 * g[k]!;
        second[k] = 0.95 * (second[k] ?? 0) + 0.05 * g[k]! ** 2;
        return x + (eta * first[k]!) / (1 - 0.8 ** t) / (Math.sqrt(second[k]! / (1 - 0.95 ** t)) + 1e-8);
      });
  };
  const steps: [FitOptions, () => Step][] = [
    [{ rule: 'sgd' }, () => (theta, g) => along(theta, g, eta)],
    [{ rule: 'normalized-sgd', lambda: 0.7 }, () => (theta, g) => along(theta, g, eta / (0.7 + norm(g)))],
    [{ rule: 'sign-sgd' }, () => (theta, g) => along(theta, g.map(Math.sign), eta)],
    [{ rule: 'adam', beta1: 0.8, beta2: 0.95 }, adam],
  ];
  for (const { seed, plain, truth, start, model } of cases) {
    for (const { name, projection, apply } of projections) {
      for (const [options, step] of steps) {
        test(`${seed}: ${options.rule}, ${name}`, async () => {
          const data = await drawn(truth, 7, seed);
          for (const batch of [1, 4]) {
            const got = await fit(model, data, { ...options, stepSize: eta, batch, projection, checkpoints: 1 });
            const path = plainPath({ plain, data, apply, batch }, start, step());
            expect(got.checkpoints.map((each) => each.step)).toEqual([...path.keys()]);
            for (const [t, { theta }] of got.checkpoints.entries()) {
              for (const [k, x] of theta.entries()) expect(Math.abs(x - path[t]![k]!)).toBeLessThan(1e-10);
            }
            expect(got.theta).toEqual(got.checkpoints.at(-1)!.theta);
            expect(got.model.theta).toEqual(got.theta);
            for (const [k, x] of got.average.entries()) {
              const mean = path.slice(0, -1).reduce((sum, theta) => sum + theta[k]!, 0) / got.steps;
              expect(x).toBeCloseTo(mean, 10);
            }
            // Each response is met at the parameters before its step.
            const at = (r: number) => model.withTheta(got.checkpoints[Math.floor(r / batch)]!.theta);
            for (const r of [0, 5, 20]) expect(got.logProbs[r]).toBeCloseTo((await at(r).logProb(data))[r]!, 10);
          }
        });
      }

      test(`${seed}: truncated-sgd, ${name}`, async () => {
        const data = await drawn(truth, 5, seed);
        const A = 0.2;
        const teacherTheta = randomTheta(seed, plain.dimension);
        const weigh = (prompt: number, tokens: number[], theta: number[]) => {
          const epsilon = walk(plain, prompt, tokens).map(({ state }) => {
            const q = tokenLogProbs(plain, state, theta);
            return Math.max(
              0,
              tokenLogProbs(plain, state, teacherTheta).reduce((sum, p, v) => sum + Math.exp(p) * (p - q[v]!), 0),
            );
          });
          return truncationWeights(epsilon, A);
        };
        for (const batch of [1, 4]) {
          const got = await fit(model, data, {
            ...{ rule: 'truncated-sgd', stepSize: eta, A, teacher: truth, batch, projection, checkpoints: 1 },
          });
          const path = plainPath({ plain, data, apply, batch, weigh }, start, (theta, g) => along(theta, g, eta));
          for (const [t, { theta }] of got.checkpoints.entries()) {
            for (const [k, x] of theta.entries()) expect(Math.abs(x - path[t]![k]!)).toBeLessThan(1e-10);
          }
        }
      });

      test(`${seed}: token-sgd, ${name}`, async () => {
        const data = await drawn(truth, 5, seed);
        const got = await fit(model, data, { rule: 'token-sgd', stepSize: eta, projection, checkpoints: 1 });
        let theta = apply([...start]);
        for (const [r, tokens] of tokensOf(data).entries()) {
          let logProb = 0;
          for (const { state, token } of walk(plain, data.prompts[r]!, tokens)) {
            logProb += tokenLogProbs(plain, state, theta)[token]!;
            theta = apply(along(theta, tokenGradient(plain, state, token, theta), eta));
          }
          expect(got.logProbs[r]).toBeCloseTo(logProb, 10);
          for (const [k, x] of got.checkpoints[r + 1]!.theta.entries())
            expect(Math.abs(x - theta[k]!)).toBeLessThan(1e-10);
        }
      });
    }
  }
});

describe('a fit is a function of data, options and seed', () => {
  const { plain, truth, model } = cases[1]!;
  // Blocks of one state each: several threads at work on a step.
  const wide = randomLinear(9, { dimension: 200, vocab: 300, states: 6, prompts: 3 });
  const wideModel = new LinearModel(linearInput(wide));

  test('whatever the threads', async () => {
    const data = await wideModel.sample([0, 1, 2], { N: 60, seed: 3, maxLength: 20 });
    for (const rule of ['sgd', 'normalized-sgd', 'adam'] as const) {
      const options = { rule, stepSize: 0.01, lambda: 1, batch: 16, passes: 2, shuffle: true, seed: 5 };
      const one = await fit(wideModel, data, options, { threads: 1 });
      for (const threads of [2, 3, 8]) {
        const other = await fit(wideModel, data, options, { threads });
        expect(other.theta).toEqual(one.theta);
        expect(other.average).toEqual(one.average);
        expect(other.logProbs).toEqual(one.logProbs);
      }
    }
  });

  test('a pass at a time, or all at once', async () => {
    const data = await drawn(truth, 40, 1);
    const options = { rule: 'sgd', stepSize: 0.05, batch: 8, projection: 'none' } as const;
    const both = await fit(model, data, { ...options, passes: 2 });
    const first = await fit(model, data, options);
    expect((await fit(first.model, data, options)).theta).toEqual(both.theta);
    expect(both.steps).toBe(30);
  });

  test('shuffled orders are permutations, one a pass, by the seed', async () => {
    const data = await drawn(truth, 10, 1);
    const run = (seed: number) => fit(model, data, { rule: 'sgd', stepSize: 1e-300, passes: 2, shuffle: true, seed });
    const scores = [...(await model.logProb(data))].sort();
    const [a, b, again] = [await run(1), await run(2), await run(1)];
    const rounded = (list: Iterable<number>) => [...list].map((x) => x.toFixed(9));
    for (const { logProbs } of [a, b]) {
      expect(rounded([...logProbs.subarray(0, 30)].sort())).toEqual(rounded(scores));
      expect(rounded([...logProbs.subarray(30)].sort())).toEqual(rounded(scores));
      expect(logProbs.subarray(0, 30)).not.toEqual(logProbs.subarray(30));
    }
    expect(a.logProbs).not.toEqual(b.logProbs);
    expect(a.logProbs).toEqual(again.logProbs);
    expect(plain.dimension).toBe(9);
  });

  test('checkpoints come in turn while it goes on', async () => {
    const data = await drawn(truth, 400, 1);
    const options = { rule: 'sgd', stepSize: 0.05, passes: 20 } as const;
    const seen: number[] = [];
    const noted = await fit(model, data, {
      ...options,
      checkpoints: 1000,
      onCheckpoint: ({ step }) => seen.push(step),
    });
    const steps = Array.from({ length: 25 }, (_, i) => 1000 * i);
    expect(seen).toEqual(steps);
    expect(noted.checkpoints.map(({ step }) => step)).toEqual(steps);
    const listed = await fit(model, data, { ...options, checkpoints: [7, 24000] });
    expect(listed.checkpoints.map(({ step }) => step)).toEqual([7, 24000]);
    expect(listed.theta).toEqual(noted.theta);
    const failing = fit(model, data, {
      ...{ ...options, checkpoints: [1] },
      onCheckpoint: () => {
        throw new Error('seen enough');
      },
    });
    await expect(failing).rejects.toThrow('seen enough');
  });
});

describe('truncation weights and theory steps', () => {
  test('weights use up the budget exactly', () => {
    for (let seed = 0; seed < 200; seed++) {
      const epsilon = randomTheta(seed, 1 + (seed % 17)).map(Math.abs);
      const total = epsilon.reduce((sum, x) => sum + x, 0);
      for (const A of [0, 0.1, 1, total, 2 * total]) {
        const alpha = truncationWeights(epsilon, A);
        const used = alpha.reduce((sum, x, h) => sum + x * epsilon[h]!, 0);
        expect(Math.abs(used - Math.min(A, total))).toBeLessThanOrEqual(4e-16 * Math.min(A, total));
        expect(alpha.filter((x) => x > 0 && x < 1).length).toBeLessThanOrEqual(1);
        expect([...alpha]).toEqual([...alpha].sort((a, b) => b - a));
      }
    }
    expect([...truncationWeights([0.5, 0.5, 0.5, 1], 1.25)]).toEqual([1, 1, 0.5, 0]);
    expect([...truncationWeights([], 1)]).toEqual([]);
    expect(() => truncationWeights([0.1, -1], 1)).toThrow('epsilon[1]');
  });

  test('steps are those of the theorems', () => {
    const input = { B: 2, T: 1000, variance: 5, H: 10, N: 16 };
    const L = Math.log(16);
    expect(theoryStep('sgd', input).stepSize).toBe(1 / 80);
    expect(theoryStep('sgd', { ...input, T: 1e8 }).stepSize).toBe(Math.sqrt(2 / 5e8));
    expect(theoryStep('normalized-sgd', input)).toEqual({ stepSize: 1 / 256, lambda: 16 * L });
    expect(theoryStep('normalized-sgd', { ...input, T: 1e12 }).stepSize).toBeCloseTo((L / 5e12) ** 0.25, 15);
    expect(theoryStep('token-sgd', input).stepSize).toBe(1 / Math.sqrt(5000));
    expect(theoryStep('truncated-sgd', input)).toEqual({ stepSize: 1 / (4 * (64 * L + 2)), A: L });
    expect(() => theoryStep('adam' as never, input)).toThrow('rule');
    expect(() => theoryStep('sgd', { B: 1, T: 10, variance: 1 })).toThrow('H');
    expect(() => theoryStep('truncated-sgd', { B: 1, T: 10, variance: 1 })).toThrow('N');
  });

  test('fit takes them, with T and H from the data', async () => {
    const { model, truth } = cases[0]!;
    const data = await drawn(truth, 10, 1);
    const H = Math.max(...tokensOf(data).map((tokens) => tokens.length));
    const theory = { B: 3, variance: 4, N: 16 };
    const sgd = await fit(model, data, { rule: 'sgd', theory });
    expect(sgd.stepSize).toBe(theoryStep('sgd', { ...theory, H, T: 30 }).stepSize);
    const step = theoryStep('normalized-sgd', { ...theory, T: 30 });
    const normalized = await fit(model, data, { rule: 'normalized-sgd', theory });
    expect(normalized.theta).toEqual((await fit(model, data, { rule: 'normalized-sgd', ...step } as FitOptions)).theta);
  });

  test('options that change meanwhile change nothing, and what overflows is projected or refused', async () => {
    const next = Int32Array.of(-1, -1);
    const model = new LinearModel({ vocab: 2, next, start: [0], dimension: 2, features: Float64Array.of(1, 0, 0, 1) });
    const data = { prompts: [0, 0, 0], tokens: Int32Array.of(0, 1, 0), offsets: [0, 1, 2, 3] };
    const options: { rule: 'mle' | 'sgd' } = { rule: 'mle' };
    const call = fit(model, data, options);
    options.rule = 'sgd';
    expect((await call).converged).toBe(true);
    const { theta } = await fit(model, data, { rule: 'sgd', stepSize: 1e200, batch: 3 });
    expect(Math.hypot(...theta)).toBeCloseTo(1, 12);
    expect(theta[0]).toBeCloseTo(Math.SQRT1_2, 12);
    const wild = new LinearModel({
      ...{ vocab: 2, next: new Int32Array(2), start: [0], dimension: 1, features: Float64Array.of(1e5, -1e5) },
    });
    const code = { code: 'ERR_COVN_NON_FINITE' };
    const longSteps = new TestTimeModel(wild, { stepSize: 1e300, projection: 'none' });
    const twice = { prompts: [0], tokens: Int32Array.of(0, 1, 0), offsets: [0, 3] };
    await expect(longSteps.logProb(twice)).rejects.toMatchObject(code);
    await expect(longSteps.sample([0], { N: 1, maxLength: 8 })).rejects.toMatchObject(code);
    const huge = new LinearModel({
      ...{ vocab: 2, next, start: [0], dimension: 1, features: Float64Array.of(1e308, -1e308) },
      theta: Float64Array.of(10),
    });
    await expect(huge.gradient(data)).rejects.toMatchObject(code);
  });
});
