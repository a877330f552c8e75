/** Best-of-N on the emulated CUDA device. */

import { expect, test } from 'vitest';
import { type BestOfNRequest, bestOfN, LinearModel, type Reward, TabularModel } from '../lib/index.ts';
import { describeEmulated, outcome } from './support/emulated.ts';
import { random, randomMachine, responsesOf } from './support/machines.ts';

const machine = randomMachine(3, { states: 9, vocab: 6, prompts: 3 });
const model = new TabularModel(machine);
const other = new TabularModel(randomMachine(4, { states: 5, vocab: 6, prompts: 3, zeros: 0 }));

/** Two states; a response is worth 2 where its number of tokens below 3 is even, and is rejected at a 5. */
const parity: Reward = {
  automaton: {
    start: 0,
    next: Int32Array.of(1, 1, 1, 0, 0, -1, 0, 0, 0, 1, 1, -1),
    values: [2, 1],
    rejected: -3,
  },
};

describeEmulated('bestOfN', () => {
  test.each<[string, Reward, Partial<BestOfNRequest>]>([
    ['its own log-prob', { logProb: model }, {}],
    ['the log-prob under another', { logProb: other }, { keep: { top: 20 }, success: -6 }],
    ['a log ratio', { logRatio: other }, { keep: 'all', success: 0 }],
    ['an automaton', parity, { keep: { top: 3 } }],
    ['a reference', { equals: responsesOf([0, 1, 2], [[0, 1], [2], [1, 1]]) }, { keep: 'statistics' }],
  ])('by %s is as on the CPU', async (_, reward, more) => {
    const request = { N: 5000, reward, seed: 11, maxLength: 30, ...more };
    const { statistics, ...found } = await bestOfN(model, [2, 0, 1], request, { device: 'cuda' });
    const { statistics: wantedStatistics, ...wanted } = await bestOfN(model, [2, 0, 1], request);
    expect(found).toEqual(wanted);
    for (const [name, values] of Object.entries(wantedStatistics) as [keyof typeof statistics, Float64Array][]) {
      values.forEach((value, p) => {
        if (Number.isFinite(value)) expect(statistics[name][p]).toBeCloseTo(value, 9);
        else expect(statistics[name][p]).toBe(value);
      });
    }
  });

  test('of a linear model is as on the CPU', async () => {
    const draw = random(5);
    const { vocab, next, start } = machine;
    const linear = new LinearModel({
      ...{ vocab, next, start, dimension: 2, theta: Float64Array.of(0.7, -1.2) },
      features: Float64Array.from({ length: 2 * next.length }, () => draw() - 0.5),
    });
    const request = { N: 1500, reward: { logProb: model }, maxLength: 12, success: -9 };
    const { statistics: _, ...found } = await bestOfN(linear, [0, 1], request, { device: 'cuda' });
    const { statistics: __, ...wanted } = await bestOfN(linear, [0, 1], request);
    expect(found).toEqual(wanted);
  });

  test('refuses what only JavaScript can compute', async () => {
    const reward = () => [0];
    await expect(bestOfN(model, [0], { N: 1, reward }, { device: 'cuda' })).rejects.toMatchObject({
      code: 'ERR_COVN_DEVICE',
      message: expect.stringContaining('a reward that JavaScript computes has no CUDA path'),
    });
    const outside = {
      vocab: 6,
      sample: model.sample.bind(model),
      logProb: model.logProb.bind(model),
    };
    await expect(
      bestOfN(outside, [0], { N: 1, reward: { logProb: outside } }, { device: 'cuda' }),
    ).rejects.toMatchObject({ code: 'ERR_COVN_DEVICE', message: expect.stringContaining('not made of tables') });
  });

  test('errors are the same as on the CPU', async () => {
    const uneven = new TabularModel({
      vocab: 2,
      logProbs: Float64Array.of(-0.1, -0.1),
      next: Int32Array.of(-1, -1),
      start: [0],
    });
    const request = { N: 3, reward: { logProb: uneven } };
    const wanted = await outcome(bestOfN(uneven, [0], request));
    expect(wanted).toMatchObject({ code: 'ERR_COVN_RANGE' });
    expect(await outcome(bestOfN(uneven, [0], request, { device: 'cuda' }))).toEqual(wanted);
    const none = await bestOfN(model, [], { N: 3, reward: { logProb: model } }, { device: 'cuda' });
    expect(none.bestRewards.length).toBe(0);
  });

  test('ends when it is cancelled', async () => {
    const controller = new AbortController();
    const call = bestOfN(
      model,
      [0],
      { N: 2 ** 31, reward: { logProb: model } },
      { device: 'cuda', signal: controller.signal, onProgress: () => controller.abort(new Error('enough')) },
    );
    await expect(call).rejects.toThrow('enough');
  });
});
