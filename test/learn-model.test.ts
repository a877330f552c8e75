/** Autoregressive linear models, against plain loops, enumeration and finite differences. */

import { describe, expect, test } from 'vitest';
import { bestOfN, graphTask, LinearModel, TabularModel } from '../lib/index.ts';
import { linearInput, randomLinear, randomTheta, sparseFeatures, tabular } from './oracles/linear.ts';
import { responsesOf, tokensOf } from './support/machines.ts';

const cases = [
  { seed: 1, dimension: 1 },
  { seed: 2, dimension: 3, vocab: 2 },
  { seed: 3, dimension: 8, vocab: 5, states: 6 },
  { seed: 4, dimension: 17, vocab: 19, states: 3 },
  { seed: 5, dimension: 70, vocab: 64, states: 2, scale: 0.3 },
  { seed: 6, dimension: 2, scale: 60 },
].map(({ seed, ...shape }) => {
  const plain = randomLinear(seed, shape);
  return { seed, plain, theta: randomTheta(seed, plain.dimension) };
});

describe('LinearModel', () => {
  for (const { seed, plain, theta } of cases) {
    const table = new TabularModel(tabular(plain, theta));
    const model = new LinearModel(linearInput(plain, theta));

    test(`${seed}: scores as its table does`, async () => {
      const drawn = await table.sample([0, 1], { N: 200, seed, maxLength: 30 });
      const [got, want] = [await model.logProb(drawn), await table.logProb(drawn)];
      for (const [i, x] of want.entries()) expect(Math.abs(got[i]! - x)).toBeLessThan(1e-12 * Math.max(1, Math.abs(x)));
      const sparse = new LinearModel({
        ...linearInput(plain, theta),
        features: undefined,
        ...sparseFeatures(plain),
      } as never);
      const again = await sparse.logProb(drawn);
      for (const [i, x] of want.entries())
        expect(Math.abs(again[i]! - x)).toBeLessThan(1e-12 * Math.max(1, Math.abs(x)));
      expect(await model.withTheta(new Float64Array(plain.dimension)).withTheta(theta).logProb(drawn)).toEqual(got);
    });

    test(`${seed}: draws and rewards as its table does`, async () => {
      const drawn = await model.sample([0, 1], { N: 100, seed, maxLength: 30 });
      expect(tokensOf(drawn)).toEqual(tokensOf(await table.sample([0, 1], { N: 100, seed, maxLength: 30 })));
      const uniform = model.withTheta(new Float64Array(plain.dimension));
      const request = { N: 64, seed, maxLength: 30, keep: 'all' } as const;
      const got = await bestOfN(model, [0, 1], { ...request, reward: { logRatio: uniform } });
      const other = new TabularModel(tabular(plain, new Float64Array(plain.dimension)));
      const want = await bestOfN(table, [0, 1], { ...request, reward: { logRatio: other } });
      expect(got.best!.tokens).toEqual(want.best!.tokens);
      for (const [i, x] of want.rewarded!.rewards.entries()) expect(got.rewarded!.rewards[i]).toBeCloseTo(x, 8);
    });

    test(`${seed}: gradient against finite differences and by sparse features`, async () => {
      const drawn = await table.sample([0, 1], { N: 50, seed: 9, maxLength: 12 });
      const { logProb, gradient } = await model.gradient(drawn);
      const mean = (list: Float64Array) => list.reduce((sum, x) => sum + x, 0) / list.length;
      expect(Math.abs(logProb - mean(await model.logProb(drawn)))).toBeLessThan(1e-11 * Math.max(1, Math.abs(logProb)));
      const scale = Math.max(...plain.features.map(Math.abs));
      const step = 1e-3 / scale;
      const at = async (k: number, by: number) => {
        const moved = theta.slice();
        moved[k]! += by;
        return mean(await model.withTheta(moved).logProb(drawn));
      };
      for (let k = 0; k < Math.min(plain.dimension, 12); k++) {
        // Richardson: an error of the fourth order.
        const [near, far] = [
          ((await at(k, step)) - (await at(k, -step))) / (2 * step),
          ((await at(k, 2 * step)) - (await at(k, -2 * step))) / (4 * step),
        ];
        const slope = (4 * near - far) / 3;
        expect(Math.abs(gradient[k]! - slope)).toBeLessThan(1e-7 * Math.max(1, scale));
      }
      const sparse = new LinearModel({
        ...linearInput(plain, theta),
        features: undefined,
        ...sparseFeatures(plain),
      } as never);
      const same = await sparse.gradient(drawn);
      for (const [k, x] of gradient.entries()) expect(same.gradient[k]).toBeCloseTo(x, 10);
    });
  }

  test('takes the features of the graph task as they are', async () => {
    const task = graphTask({ figure: 1, prompts: 20, seed: 3, layers: 6, width: 3 });
    const { machine, dimension, featureOffsets, featureIds, featureValues } = task.features();
    const { logProbs, ...rest } = machine;
    const theta = Float64Array.of(3, 2, 1, 4);
    const model = new LinearModel({ ...rest, dimension, featureOffsets, featureIds, featureValues, theta });
    expect([model.prompts, model.dimension, model.states]).toEqual([20, 4, machine.offsets.length - 1]);
    const drawn = await new TabularModel(machine).sample([0, 5, 19], { N: 5, seed: 1 });
    const scores = await model.logProb(drawn);
    expect(scores.every((x) => x < 0 && x > -100)).toBe(true);
  });

  test('keeps its parameters to itself', () => {
    const { plain, theta } = cases[1]!;
    const given = theta.slice();
    const model = new LinearModel(linearInput(plain, given));
    given[0] = 100;
    model.theta[1] = 100;
    expect(model.theta).toEqual(theta);
    expect(model.withTheta(given).theta).toEqual(given);
  });
});

describe('what is refused', () => {
  const { plain, theta } = cases[1]!;
  const input = linearInput(plain, theta);
  const bad: [string, object, string][] = [
    ['theta of another length', { theta: new Float64Array(2) }, 'theta'],
    ['NaN in theta', { theta: Float64Array.of(0, Number.NaN, 0) }, 'theta[1]'],
    ['features of another length', { features: new Float64Array(5) }, 'features'],
    ['an infinite feature', { features: plain.features.map((x, i) => (i === 7 ? Infinity : x)) }, 'features[7]'],
    ['no features', { features: undefined }, 'featureIds'],
    ['dimension 0', { dimension: 0 }, 'dimension'],
    ['a state that is not there', { next: plain.machine.next.map((x, i) => (i === 2 ? 77 : x)) }, 'next[2]'],
    ['a start that is not there', { start: [99] }, 'start[0]'],
    ['a key that is not known', { logProbs: new Float64Array(1) }, 'logProbs'],
  ];
  for (const [name, change, place] of bad) {
    test(name, () => {
      expect(() => new LinearModel({ ...input, ...change } as never)).toThrow(place);
    });
  }

  test('sparse features that do not fit', () => {
    const sparse = { ...input, features: undefined, ...sparseFeatures(plain) };
    const at = (change: object) => () => new LinearModel({ ...sparse, ...change } as never);
    expect(at({})).not.toThrow();
    expect(at({ featureIds: sparse.featureIds.map((x, i) => (i === 4 ? 3 : x)) })).toThrow('featureIds[4]');
    expect(at({ featureOffsets: [0, 1] })).toThrow('featureOffsets');
    expect(at({ featureOffsets: sparse.featureOffsets.map((x, i) => (i === 1 ? 1e6 : x)) })).toThrow(
      'featureOffsets[1]',
    );
    expect(at({ featureValues: sparse.featureValues.map((x, i) => (i === 3 ? Number.NaN : x)) })).toThrow(
      'featureValues[3]',
    );
    expect(at({ features: plain.features })).toThrow('either features or');
  });

  test('responses that leave the machine, by gradient', async () => {
    const model = new LinearModel(input);
    const state = plain.machine.start[0]!;
    const ends = [0, 1].find((token) => plain.machine.next[state * 2 + token] === -1);
    await expect(model.gradient(responsesOf([0], [[2]]))).rejects.toThrow('tokens[0] (response 0)');
    await expect(model.gradient(responsesOf([5], [[0]]))).rejects.toThrow('prompts[0]');
    await expect(model.gradient(responsesOf([], []))).rejects.toThrow('at least one response');
    if (ends !== undefined) {
      await expect(model.gradient(responsesOf([0, 0], [[], [ends, 0]]))).rejects.toThrow('no token after the end');
    }
  });
});
