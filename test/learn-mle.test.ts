/** Maximum likelihood, certified by its gradient, on balls and boxes too. */

import { describe, expect, test } from 'vitest';
import { fit, LinearModel, TabularModel } from '../lib/index.ts';
import { linearInput, randomLinear, randomTheta, tabular } from './oracles/linear.ts';
import { responsesOf } from './support/machines.ts';

const norm = (x: ArrayLike<number>): number => Math.sqrt(Array.from(x).reduce((sum, each) => sum + each * each, 0));
const cases = [
  { seed: 1, dimension: 1 },
  { seed: 2, dimension: 4, vocab: 5, states: 6 },
  { seed: 3, dimension: 12, vocab: 7, states: 9, scale: 3 },
  { seed: 4, dimension: 64, vocab: 40, states: 6, scale: 0.2 },
].map(({ seed, ...shape }) => {
  const plain = randomLinear(seed, { ...shape, prompts: 4 });
  const truth = new TabularModel(tabular(plain, randomTheta(seed, shape.dimension, 0.5)));
  return { seed, plain, truth, model: new LinearModel(linearInput(plain)) };
});

describe('mle', () => {
  for (const { seed, truth, model } of cases) {
    test(`${seed}: is where the gradient is 0`, async () => {
      const data = await truth.sample([0, 1, 2, 3], { N: 500, seed, maxLength: 20 });
      const found = await fit(model, data, { rule: 'mle', projection: 'none' });
      expect(found.converged).toBe(true);
      expect(found.gradientNorm).toBeLessThanOrEqual(1e-8);
      const { gradient, logProb } = await found.model.gradient(data);
      expect(norm(gradient)).toBeLessThanOrEqual(1e-8 + 1e-12);
      expect(found.logProb).toBeCloseTo(logProb, 10);
      expect(found.iterations).toBeLessThan(30);
    });

    test(`${seed}: on a ball, the gradient points along theta`, async () => {
      const data = await truth.sample([0, 1, 2, 3], { N: 500, seed, maxLength: 20 });
      const free = await fit(model, data, { rule: 'mle', projection: 'none' });
      const radius = norm(free.theta) / 2;
      const {
        theta,
        model: at,
        gradientNorm,
        converged,
      } = await fit(model, data, { rule: 'mle', projection: { ball: radius } });
      expect(converged).toBe(true);
      expect(gradientNorm).toBeLessThanOrEqual(1e-8);
      expect(norm(theta)).toBeCloseTo(radius, 12);
      const { gradient } = await at.gradient(data);
      const along = theta.reduce((sum, x, k) => sum + x * gradient[k]!, 0) / radius;
      expect(along).toBeGreaterThan(0);
      expect(norm(gradient.map((x, k) => x - (along * theta[k]!) / radius))).toBeLessThan(1e-7 * Math.max(1, along));
      // A ball that holds the optimum holds nothing back.
      const wide = await fit(model, data, { rule: 'mle', projection: { ball: 3 * radius } });
      for (const [k, x] of wide.theta.entries()) expect(x).toBeCloseTo(free.theta[k]!, 5);
    });

    test(`${seed}: on a box, the gradient pushes against the bounds`, async () => {
      const data = await truth.sample([0, 1, 2, 3], { N: 500, seed, maxLength: 20 });
      const box = [-0.1, 0.2] as const;
      const { theta, model: at, converged } = await fit(model, data, { rule: 'mle', projection: { box } });
      expect(converged).toBe(true);
      const { gradient } = await at.gradient(data);
      for (const [k, x] of theta.entries()) {
        expect(x >= box[0] && x <= box[1]).toBe(true);
        if (x === box[0]) expect(gradient[k]).toBeLessThan(1e-8);
        else if (x === box[1]) expect(gradient[k]).toBeGreaterThan(-1e-8);
        else expect(Math.abs(gradient[k]!)).toBeLessThan(1e-8);
      }
    });
  }

  test('of a coin is the share of heads', async () => {
    const coin = new LinearModel({
      ...{ vocab: 2, next: Int32Array.of(-1, -1), start: [0], dimension: 1, features: Float64Array.of(0, 1) },
    });
    const data = responsesOf(Array(10).fill(0), [[1], [1], [1], [0], [0], [0], [0], [0], [0], [0]]);
    const { theta } = await fit(coin, data, { rule: 'mle', projection: 'none' });
    expect(theta[0]).toBeCloseTo(Math.log(3 / 7), 6);
    // Where one side was never seen there is no maximum: the gradient still falls below what was asked for.
    const ones = responsesOf([0, 0], [[1], [1]]);
    const far = await fit(coin, ones, { rule: 'mle', projection: 'none' });
    expect(far.converged).toBe(true);
    expect(far.theta[0]).toBeGreaterThan(15);
    expect((await fit(coin, ones, { rule: 'mle', projection: { box: [-3, 3] } })).theta[0]).toBe(3);
    expect((await fit(coin, ones, { rule: 'mle' })).theta[0]).toBeCloseTo(1, 12);
  });

  test('of features that say the same twice', async () => {
    const double = new LinearModel({
      ...{ vocab: 2, next: Int32Array.of(-1, -1), start: [0], dimension: 2, features: Float64Array.of(0, 0, 1, 1) },
    });
    const data = responsesOf([0, 0, 0, 0], [[1], [0], [0], [0]]);
    const { theta, converged } = await fit(double, data, { rule: 'mle', projection: 'none' });
    expect(converged).toBe(true);
    expect(theta[0]! + theta[1]!).toBeCloseTo(Math.log(1 / 3), 7);
  });

  test('of features that overflow', async () => {
    const huge = (x: number) =>
      new LinearModel({
        ...{ vocab: 2, next: Int32Array.of(-1, -1), start: [0], dimension: 1, features: Float64Array.of(-x, x) },
        theta: Float64Array.of(1),
      });
    const data = responsesOf([0, 0], [[1], [0]]);
    const large = await fit(huge(1e200), data, { rule: 'mle', projection: 'none' });
    expect(large.converged).toBe(false);
    const far = huge(1e308).withTheta(Float64Array.of(1e10));
    await expect(fit(far, data, { rule: 'mle', projection: 'none' })).rejects.toThrow('finite logits');
  });

  test('is cancelled soon, with many features', async () => {
    const wide = randomLinear(3, { dimension: 1200, states: 4, vocab: 40, prompts: 1 });
    const model = new LinearModel(linearInput(wide));
    const data = await model.sample([0], { N: 2000, seed: 1, maxLength: 10 });
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('enough')), 50);
    await expect(fit(model, data, { rule: 'mle' }, { signal: controller.signal })).rejects.toThrow('enough');
  });

  test('says so where it has not converged', async () => {
    const { model, truth } = cases[1]!;
    const data = await truth.sample([0], { N: 50, seed: 1, maxLength: 20 });
    const cut = await fit(model, data, { rule: 'mle', projection: 'none', maxIterations: 1 });
    expect([cut.converged, cut.iterations]).toEqual([false, 1]);
    expect(cut.gradientNorm).toBeGreaterThan(1e-8);
  });

  test('with large features and long responses', async () => {
    // The instance that tells apart rules that depend on H: B = 400.
    const [B, b, alpha] = [400, 24, 4 / 7];
    const beta = Math.sqrt(1 - alpha * alpha);
    const rows = [
      ...[
        [B * alpha, -B * beta, 0, 0],
        [B, 0, 0, 0],
        [B * alpha, B * beta, 0, 0],
      ],
      ...[
        [0, 0, 0, 0],
        [0, 0, b, 0],
        [0, 0, 0, 0],
        [0, 0, 0, b],
      ],
    ];
    const machine = {
      ...{ vocab: 3, offsets: [0, 3, 5, 7], tokens: Int32Array.of(0, 1, 2, 0, 1, 0, 1) },
      ...{ next: Int32Array.of(0, 0, 0, 1, 1, 2, 2), start: [0, 1, 2], dimension: 4 },
    };
    const H = 1024;
    const t = Math.log(10 * H) / b;
    const theta = Float64Array.of(0.8, 0, t, t);
    const truth = new LinearModel({ ...machine, features: Float64Array.from(rows.flat()), theta });
    const data = await truth.sample([0, 1, 2], { N: 20, seed: 1, maxLength: H });
    const found = await fit(truth.withTheta(Float64Array.of(0.8 * alpha, 0.8 * beta, 0.2, 0.2)), data, { rule: 'mle' });
    expect(found.converged).toBe(true);
    expect(found.gradientNorm).toBeLessThanOrEqual(1e-8);
  });
});
