/** Best-of-N from models: exact success probabilities, the same result by every way, and bad input. */

import { describe, expect, test } from 'vitest';
import { normalQuantile } from '../lib/estimate/special.ts';
import {
  type BestOfN,
  bestOfN,
  bestOfNReward,
  passAtN,
  type Reward,
  type SequenceModel,
  TabularModel,
} from '../lib/index.ts';
import { coin, listResponses, randomMachine, responsesOf, tokensOf } from './support/machines.ts';

const input = randomMachine(11, { states: 5, vocab: 4, prompts: 3 });
const model = new TabularModel(input);
const other = new TabularModel(randomMachine(12, { states: 5, vocab: 4, prompts: 3, zeros: 0 }));
const maxLength = 6;
const prompts = [0, 1, 2];

/** The same model to bestOfN's eyes one that it does not know: everything goes through JavaScript. */
const outside: SequenceModel = {
  vocab: model.vocab,
  logProb: (responses, options) => model.logProb(responses, options),
  sample: (ids, request, options) => model.sample(ids, request, options),
};

const listed = prompts.map((prompt) => listResponses(input, prompt, maxLength));
// Two references to each prompt, neither sure nor hopeless.
const references = (() => {
  const chosen = listed.map((all) => all.filter(({ logProb }) => logProb < -2 && logProb > -7).slice(0, 2));
  return responsesOf(
    chosen.flatMap((two, prompt) => two.map(() => prompt)),
    chosen.flat().map(({ tokens }) => tokens),
  );
})();
/** Odd number of tokens 1, unless a token 3 was seen. */
const automaton = {
  next: Int32Array.of(0, 1, 0, -1, 1, 0, 1, -1),
  start: 0,
  accepting: [1],
};
const rewards: Record<string, Reward> = {
  equals: { equals: references },
  table: { table: { ...references, values: [0.5, 1, 2, 3, 1, 1], otherwise: -1 } },
  automaton: { automaton },
  'automaton with values': {
    automaton: { next: automaton.next, start: [0, 1, 0], values: [0.25, 4], rejected: -2 },
  },
  'automaton with classes': {
    automaton: { next: Int32Array.of(0, 1, 1, 0), classes: [0, 1, 0, 1], start: 1, accepting: [0] },
  },
  'own log-prob': { logProb: model },
  'log-prob': { logProb: other },
  'log-ratio': { logRatio: other },
};

/** What does not depend on the order of additions. */
const exactly = ({ statistics: _, ...rest }: BestOfN) => rest;

describe('bestOfN', () => {
  test.each(Object.entries(rewards))('%s: natively and in JavaScript the same', async (_, reward) => {
    const request = { N: 777, reward, seed: 9, maxLength, keep: { top: 5 }, success: 0.5 };
    const native = await bestOfN(model, prompts, request);
    for (const batch of [1000, 64]) {
      const js = await bestOfN(outside, prompts, request, { batch, threads: 1 });
      // Log-probs under the model drawn from come from its fixed-point sums there, and from its doubles here.
      const close = (a: ArrayLike<number>, b: ArrayLike<number>) =>
        Array.from(a).every((x, i) => x === b[i] || Math.abs(x - b[i]!) < 1e-8);
      expect(js.successes).toEqual(native.successes);
      expect(close(js.bestRewards, native.bestRewards)).toBe(true);
      expect(js.best!.tokens).toEqual(native.best!.tokens);
      expect(js.best!.samples).toEqual(native.best!.samples);
      expect(close(js.best!.rewards, native.best!.rewards)).toBe(true);
      for (const name of ['meanReward', 'rewardDeviation', 'meanLogProb', 'meanLength', 'endedShare'] as const) {
        for (const p of prompts) {
          const [a, b] = [js.statistics[name][p]!, native.statistics[name][p]!];
          // A reward of -Infinity leaves no deviation.
          if (!Object.is(a, b)) expect(a).toBeCloseTo(b, 8);
        }
      }
    }
  });

  test.each(Object.entries(rewards))('%s: what a plain reading of all samples gives', async (_, reward) => {
    const N = 300;
    const run = await bestOfN(model, prompts, { N, reward, seed: 2, maxLength, keep: 'all' });
    const drawn = await model.sample(prompts, { N, seed: 2, maxLength });
    const all = run.rewarded!.rewards;
    expect([...run.rewarded!.offsets]).toEqual([0, N, 2 * N, 3 * N]);
    for (const p of prompts) {
      const mine = [...all.subarray(p * N, (p + 1) * N)];
      for (const [k, size] of run.sizes.entries()) {
        const best = Math.max(...mine.slice(0, size));
        expect(run.bestRewards[p * run.sizes.length + k]).toBe(best);
        if (run.successes) {
          expect(run.successes[p * run.sizes.length + k]).toBe(mine.slice(0, size).filter((x) => x >= 1).length);
        }
      }
      const first = mine.indexOf(Math.max(...mine));
      expect(run.best!.samples[p]).toBe(first);
      expect(run.best!.rewards[p]).toBe(mine[first]);
      expect(tokensOf(run.best!)[p]).toEqual(tokensOf(drawn)[p * N + first]);
      expect(run.statistics.meanReward[p]).toBeCloseTo(mine.reduce((a, b) => a + b) / N, 9);
    }
    expect(run.logProbs).toEqual(drawn.logProbs);
    expect([...run.sizes]).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
  });

  test('rewards are what they are said to be', async () => {
    const drawn = await model.sample(prompts, { N: 200, seed: 4, maxLength });
    const tokens = tokensOf(drawn);
    const request = { N: 200, seed: 4, maxLength, keep: 'all' } as const;
    const by = async (reward: Reward) => (await bestOfN(model, prompts, { ...request, reward })).rewarded!.rewards;
    const known = tokensOf(references).map((list, i) => `${references.prompts[i]}:${list}`);
    const equal = tokens.map((list, i) => (known.includes(`${drawn.prompts[i]}:${list}`) ? 1 : 0));
    expect([...(await by(rewards.equals!))]).toEqual(equal);
    expect(equal).toContain(1);
    const odd = tokens.map((list) => {
      return list.includes(3) ? 0 : list.filter((token) => token === 1).length % 2;
    });
    expect([...(await by({ automaton }))]).toEqual(odd);
    const logProbs = await other.logProb(drawn);
    for (const [i, x] of (await by({ logProb: other })).entries()) {
      if (x !== logProbs[i]) expect(x).toBeCloseTo(logProbs[i]!, 9);
    }
    for (const [i, x] of (await by({ logRatio: other })).entries()) {
      const expected = logProbs[i]! - drawn.logProbs[i]!;
      if (x !== expected) expect(x).toBeCloseTo(expected, 9);
    }
    expect(await by({ logProb: model })).toEqual(drawn.logProbs);
    const js = await by(({ tokens, offsets }) => (offsets as Float64Array).slice(1).map((end) => tokens[end - 1]!));
    expect([...js]).toEqual(tokens.map((list) => list.at(-1)));
  });

  test('succeeds as often as 1 - (1 - p)^N says, for N from 1 to a million', async () => {
    // 2^20 draws of prompt p succeed with probability 4^-p each; by blocks of N they are independent runs of Best-of-N.
    const chances = Array.from({ length: 9 }, (_, p) => 4 ** -p * 0.9);
    const many = coin(...chances);
    const N = 2 ** 20;
    const reward = { automaton: { next: Int32Array.of(1, 0, -1, -1), start: 0, accepting: [1] } };
    const run = await bestOfN(many, [...chances.keys()], { N, reward, maxLength: 1, keep: 'statistics', seed: 21 });
    expect(run.best).toBeUndefined();
    // Exact binomial moments at false-alarm rate 1e-6 (normal limits, 5 sigma or more where counts are large).
    for (const [p, chance] of chances.entries()) {
      for (const [k, size] of run.sizes.entries()) {
        const seen = run.successes![p * run.sizes.length + k]!;
        const mean = size * chance;
        const slack = -normalQuantile(1e-7) * Math.sqrt(mean * (1 - chance)) + 20;
        expect(Math.abs(seen - mean)).toBeLessThan(slack);
      }
    }
    for (const size of [1, 2, 10, 1000, 30_000, 1_000_000]) {
      const measured = passAtN(run.counts!, size);
      const exact = passAtN({ samples: N, correct: chances.map((chance) => Math.round(N * chance)) }, size);
      const truth = chances.reduce((sum, chance) => sum - Math.expm1(size * Math.log1p(-chance)), 0) / chances.length;
      // Its standard deviation, simulated, is at most 0.0094 (at 30,000): six of them.
      expect(Math.abs(measured.value - truth)).toBeLessThan(0.06);
      expect(exact.value).toBeCloseTo(truth, 3);
    }
  });

  test('independent runs of Best-of-N succeed as often as 1 - (1 - p)^N says, within an exact interval', async () => {
    const chance = 0.013;
    const runs = 20_000;
    const many = new TabularModel({
      vocab: 2,
      logProbs: Float64Array.of(Math.log(chance), Math.log1p(-chance)),
      next: Int32Array.of(-1, -1),
      start: new Int32Array(runs),
    });
    const reward = { automaton: { next: Int32Array.of(1, 0, -1, -1), start: 0, accepting: [1] } };
    const run = await bestOfN(
      many,
      Int32Array.from({ length: runs }, (_, p) => p),
      { N: 256, reward, maxLength: 1 },
    );
    for (const [k, size] of run.sizes.entries()) {
      const passed = Array.from({ length: runs }, (_, p) => (run.bestRewards[p * run.sizes.length + k]! >= 1 ? 1 : 0));
      const truth = -Math.expm1(size * Math.log1p(-chance));
      const seen = passed.reduce<number>((a, b) => a + b, 0);
      // Normal limits of a binomial; false-alarm rate below 1e-6 for each of 9 sizes.
      const slack = -normalQuantile(5e-7) * Math.sqrt(runs * truth * (1 - truth)) + 1;
      expect(Math.abs(seen - runs * truth)).toBeLessThan(slack);
    }
  });

  test('the two-mode mixture: Pass@8 is .9570 at q = .9 and .9961 at q = .5', async () => {
    // Ten prompts that look alike: nine of class 1, one of class 2; a model puts q on the path of class 1.
    for (const [q, known] of [
      [0.9, 0.957],
      [0.5, 0.9961],
    ] as const) {
      const mixture = coin(...Array<number>(10).fill(q));
      const rights = responsesOf([...Array(10).keys()], [...Array(9).fill([0]), [1]]);
      const N = 2 ** 18;
      const run = await bestOfN(mixture, [...Array(10).keys()], { N, reward: { equals: rights }, seed: 6 });
      const { value } = passAtN(run.counts!, 8);
      // The standard deviation of Pass@8's estimate is below 1.5e-4: 6 of them.
      expect(Math.abs(value - known)).toBeLessThan(0.001);
      expect(0.9 * (1 - (1 - q) ** 8) + 0.1 * (1 - q ** 8)).toBeCloseTo(known, 4);
    }
  });

  test('the result does not depend on threads, the order of prompts or what else is asked', async () => {
    const request = { N: 20_000, reward: { automaton }, seed: 5, maxLength, keep: { top: 3 } };
    const one = await bestOfN(model, prompts, request, { threads: 1 });
    expect(exactly(await bestOfN(model, prompts, request, { threads: 2 }))).toEqual(exactly(one));
    const reversed = await bestOfN(model, [2, 0], request);
    expect([...reversed.best!.samples]).toEqual([...one.best!.samples.slice(6), ...one.best!.samples.slice(0, 3)]);
    const shorter = await bestOfN(model, prompts, { ...request, N: 4096 });
    const at = (run: BestOfN, p: number, size: number) =>
      run.successes![p * run.sizes.length + run.sizes.indexOf(size)];
    for (const p of prompts) expect(at(shorter, p, 4096)).toBe(at(one, p, 4096));
  });

  test('the log ratio of a model to itself is exactly 0, and equal ratios are equal', async () => {
    const run = await bestOfN(model, prompts, { N: 5000, reward: { logRatio: model }, success: 0, keep: { top: 4 } });
    expect(run.counts!.correct).toEqual(new Float64Array(3).fill(5000));
    expect([...run.best!.samples]).toEqual([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
  });

  test('keeps many of the best in order, natively and in JavaScript', async () => {
    const request = { N: 3000, reward: { logProb: model } as Reward, seed: 12, maxLength, keep: { top: 700 } };
    const native = await bestOfN(model, prompts, request);
    const all = (await bestOfN(model, prompts, { ...request, keep: 'all' })).rewarded!.rewards;
    const js = await bestOfN(model, prompts, { ...request, reward: ({ logProbs }) => logProbs }, { batch: 999 });
    for (const p of prompts) {
      const mine = all.subarray(p * 3000, (p + 1) * 3000);
      const order = [...mine.keys()].sort((a, b) => mine[b]! - mine[a]! || a - b).slice(0, 700);
      expect([...native.best!.samples.subarray(p * 700, (p + 1) * 700)]).toEqual(order);
      expect([...js.best!.samples.subarray(p * 700, (p + 1) * 700)]).toEqual(order);
    }
  });

  test('deviations keep their digits beside a large common part', async () => {
    const flip = coin(0.5);
    const { next } = { next: Int32Array.of(1, 2, -1, -1, -1, -1) };
    for (const large of [0, 1e9]) {
      const native: Reward = { automaton: { next, start: 0, values: [0, large, large + 1] } };
      const js: Reward = ({ tokens }) => Float64Array.from(tokens, (token) => large + token);
      for (const [reward, N] of [
        [native, 100_000],
        [js, 100_000],
        [native, 100],
        [js, 7],
      ] as const) {
        const { statistics, rewarded } = await bestOfN(
          flip,
          [0],
          { N, reward, maxLength: 1, keep: 'all' },
          { batch: 999 },
        );
        const ones = rewarded!.rewards.filter((x) => x === large + 1).length;
        expect(statistics.meanReward[0]).toBeCloseTo(large + ones / N, 6);
        expect(statistics.rewardDeviation[0]).toBeCloseTo(Math.sqrt((ones * (N - ones)) / N / (N - 1)), 7);
      }
    }
  });

  test('expected best rewards at all n <= N from one run', async () => {
    const run = await bestOfN(model, prompts, { N: 400, reward: { logProb: model }, seed: 1, maxLength, keep: 'all' });
    expect(run.successes).toBeUndefined();
    expect(run.counts).toBeUndefined();
    const [one, all] = bestOfNReward(run.rewarded!, [1, 400]);
    expect(one!.value).toBeCloseTo(run.statistics.meanReward.reduce((a, b) => a + b) / 3, 9);
    expect(all!.value).toBeCloseTo(run.best!.rewards.reduce((a, b) => a + b) / 3, 9);
  });
});
