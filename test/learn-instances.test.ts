/** Instances of the paper with known answers (4.3), and what fits refuse. */

import { describe, expect, test } from 'vitest';
import { exactLogRatios, type FitOptions, fit, LinearModel, type Responses } from '../lib/index.ts';
import { responsesOf } from './support/machines.ts';

describe('SGD diverges with a large step (Lemma I.6)', () => {
  const [T, H, alpha] = [1000, 64, 4 / 7];
  const B = 4 * Math.log(T * H);
  const beta = Math.sqrt(1 - alpha * alpha);
  // One state that leads back to itself; tokens -1, 0, 1.
  const model = new LinearModel({
    ...{ vocab: 3, next: new Int32Array(3), start: [0], dimension: 2 },
    features: Float64Array.of(B * alpha, -B * beta, B, 0, B * alpha, B * beta),
    theta: Float64Array.of(alpha, beta),
  });
  const truth = model.withTheta(Float64Array.of(1, 0));
  const zeros: Responses = {
    prompts: new Int32Array(T),
    tokens: new Int32Array(T * H).fill(1),
    offsets: Float64Array.from({ length: T + 1 }, (_, i) => i * H),
  };

  test('data are all zeros, and coordinate 2 changes its sign at every step', async () => {
    const data = await truth.sample([0], { N: T, seed: 1, maxLength: H });
    expect(data.tokens).toEqual(zeros.tokens);
    const got = await fit(model, data, { rule: 'sgd', stepSize: 8 / (H * B), checkpoints: 1 });
    for (const [t, { theta }] of got.checkpoints.entries()) {
      const sign = t % 2 === 0 ? 1 : -1;
      expect(Math.abs(theta[0]! - alpha)).toBeLessThan(1e-8);
      expect(Math.abs(theta[1]! - sign * beta)).toBeLessThan(1e-8);
    }
    // No iterate covers pi_D at log N = HB/8, the mean of the parameters does.
    const coverage = async (theta: Float64Array) => {
      const { logRatios, weights } = await exactLogRatios(truth, model.withTheta(theta), { maxLength: H });
      return weights.reduce((sum, w, i) => sum + (logRatios[i]! >= (H * B) / 8 ? w : 0), 0);
    };
    for (const t of [0, 1, 500, 1000]) {
      expect(await coverage(got.checkpoints[t]!.theta)).toBeGreaterThanOrEqual(1 - 1 / (2 * T));
    }
    expect(await coverage(got.average)).toBe(0);
  });

  test('and does not with a small one', async () => {
    const got = await fit(model, zeros, { rule: 'normalized-sgd', stepSize: 0.03, lambda: 10 });
    expect(got.theta[0]).toBeGreaterThan(0.9);
  });
});

describe('what a fit refuses', () => {
  const input = {
    ...{ vocab: 2, next: Int32Array.of(0, -1), start: [0], dimension: 2 },
    features: Float64Array.of(1, 0, 0, 1),
  };
  const model = new LinearModel(input);
  const data = responsesOf([0, 0], [[0, 1], [1]]);
  const bad: [string, object, string][] = [
    ['a rule that is not known', { rule: 'sdg' }, 'rule'],
    ['an option that is not known', { step: 1 }, 'a key of options'],
    ['no step size', { stepSize: undefined }, 'stepSize'],
    ['a step size of 0', { stepSize: 0 }, 'stepSize'],
    ['a step size that is NaN', { stepSize: Number.NaN }, 'stepSize'],
    ['no lambda', { rule: 'normalized-sgd' }, 'lambda'],
    ['no teacher', { rule: 'truncated-sgd', A: 1 }, 'teacher'],
    ['no A', { rule: 'truncated-sgd', teacher: model }, 'A'],
    ['a batch of tokens', { rule: 'token-sgd', batch: 2 }, 'batch'],
    ['batches of 0', { batch: 0 }, 'batch'],
    ['half a pass', { passes: 0.5 }, 'passes'],
    ['beta1 of 1', { rule: 'adam', beta1: 1 }, 'beta1'],
    ['a ball of radius 0', { projection: { ball: 0 } }, 'projection.ball'],
    ['a box without an inside', { projection: { box: [0, [1, -1]] } }, 'projection.box[0][1]'],
    ['a box of another dimension', { projection: { box: [0, [1]] } }, 'projection.box[1]'],
    ['checkpoints past the end', { checkpoints: [3] }, 'checkpoints[0]'],
    ['checkpoints that do not ascend', { checkpoints: [1, 1] }, 'checkpoints[1]'],
    ['checkpoints of mle', { rule: 'mle', checkpoints: 1 }, 'checkpoints'],
    ['a seed of -1', { seed: -1 }, 'seed'],
    ['theory of a rule without one', { rule: 'adam', stepSize: undefined, theory: { B: 1, variance: 1 } }, 'rule'],
  ];
  for (const [name, change, place] of bad) {
    test(name, async () => {
      const options = { rule: 'sgd', stepSize: 0.1, ...change } as FitOptions;
      await expect(fit(model, data, options)).rejects.toThrow(place);
    });
  }

  test('data that leave the machine, naming the place', async () => {
    const options = { rule: 'sgd', stepSize: 0.1 } as const;
    for (const rule of ['sgd', 'token-sgd', 'mle'] as const) {
      const call = (data: Responses) => fit(model, data, { ...options, rule });
      await expect(call(responsesOf([0, 0], [[0], [1, 0]]))).rejects.toThrow(
        'Expected no token after the end of the response for tokens[2] (response 1) but received 0',
      );
      await expect(call(responsesOf([0], [[2]]))).rejects.toThrow('an integer in [0, 1] for tokens[0]');
      await expect(call(responsesOf([1], [[0]]))).rejects.toThrow('prompts[0]');
      await expect(call(responsesOf([], []))).rejects.toThrow('at least one response');
    }
    const sparse = new LinearModel({
      ...input,
      ...{ next: Int32Array.of(-1), offsets: [0, 1], tokens: Int32Array.of(1) },
      features: Float64Array.of(1, 0),
    });
    await expect(fit(sparse, responsesOf([0], [[0]]), options)).rejects.toThrow(
      'a token that the machine has in state 0',
    );
    await expect(fit(model, data, { ...options, rule: 'truncated-sgd', A: 1, teacher: sparse })).rejects.toThrow(
      'of the reference',
    );
    await expect(fit({} as never, data, options)).rejects.toThrow('a LinearModel');
  });

  test('parameters that grow without bound', async () => {
    const many = responsesOf(Array(2000).fill(0), Array(2000).fill([...Array(20).fill(0), 1]));
    const call = fit(model, many, { rule: 'sgd', stepSize: 1e308, projection: 'none' });
    await expect(call).rejects.toThrow('Expected finite parameters for theta[');
  });

  test('a cancelled fit rejects with the reason, soon', async () => {
    const long = {
      prompts: new Int32Array(2000),
      tokens: new Int32Array(2000 * 500),
      offsets: Float64Array.from({ length: 2001 }, (_, i) => 500 * i),
    };
    for (const rule of ['token-sgd', 'sgd', 'adam'] as const) {
      const controller = new AbortController();
      const call = fit(model, long, { rule, stepSize: 1e-3, passes: 2000 }, { signal: controller.signal });
      setTimeout(() => controller.abort(new Error('enough')), 30);
      await expect(call).rejects.toThrow('enough');
    }
  });

  test('responses of no tokens move nothing', async () => {
    const empty = responsesOf([0, 0, 0], [[], [], []]);
    for (const rule of ['sgd', 'token-sgd', 'adam', 'mle'] as const) {
      const got = await fit(model, empty, { rule, stepSize: 1 });
      expect([...got.theta]).toEqual([0, 0]);
    }
  });
});
