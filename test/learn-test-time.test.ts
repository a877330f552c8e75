/** Test-time training against plain loops, the path of token-level SGD and the distribution of all responses. */

import { describe, expect, test } from 'vitest';
import { bestOfN, fit, LinearModel, type Responses, TestTimeModel } from '../lib/index.ts';
import {
  linearInput,
  randomLinear,
  randomTheta,
  tabular,
  tokenGradient,
  tokenLogProbs,
  walk,
} from './oracles/linear.ts';
import { chiSquareShare } from './support/chi-square.ts';
import { listResponses, responsesOf, tokensOf } from './support/machines.ts';

const eta = 0.3;
const radius = 1.2;
const projection = { ball: radius };
const plain = randomLinear(4, { dimension: 4, states: 4, vocab: 3, prompts: 3 });
const start = randomTheta(4, 4, 0.4);
const model = new LinearModel(linearInput(plain, start));
const decoding = new TestTimeModel(model, { stepSize: eta, projection });

/** log pi^TTT of a response. */
function scored(prompt: number, tokens: readonly number[]): number {
  let theta = [...start];
  let sum = 0;
  for (const { state, token } of walk(plain, prompt, tokens)) {
    sum += tokenLogProbs(plain, state, theta)[token]!;
    const gradient = tokenGradient(plain, state, token, theta);
    theta = theta.map((x, k) => x + eta * gradient[k]!);
    const norm = Math.hypot(...theta);
    if (norm > radius) theta = theta.map((x) => (x * radius) / norm);
  }
  return sum;
}

describe('TestTimeModel', () => {
  const input = tabular(plain, start);
  const maxLength = 5;

  test('has the log-probs of Eq. 22-23, and they sum to 1', async () => {
    for (let prompt = 0; prompt < 3; prompt++) {
      const listed = listResponses(input, prompt, maxLength).map(({ tokens }) => tokens);
      const logProbs = await decoding.logProb(
        responsesOf(
          listed.map(() => prompt),
          listed,
        ),
      );
      for (const [i, tokens] of listed.entries())
        expect(Math.abs(logProbs[i]! - scored(prompt, tokens))).toBeLessThan(1e-11);
      expect(logProbs.reduce((sum, x) => sum + Math.exp(x), 0)).toBeCloseTo(1, 12);
    }
  });

  test('samples follow the distribution of whole responses', async () => {
    const N = 100_000;
    const listed = listResponses(input, 1, maxLength).map(({ tokens }) => tokens);
    const drawn = await decoding.sample([1], { N, seed: 3, maxLength });
    const counts = new Map(listed.map((tokens) => [tokens.join(), 0]));
    for (const tokens of tokensOf(drawn)) counts.set(tokens.join(), counts.get(tokens.join())! + 1);
    const expected = listed.map((tokens) => N * Math.exp(scored(1, tokens)));
    // False-alarm rate 1e-6.
    expect(
      chiSquareShare(
        listed.map((tokens) => counts.get(tokens.join())!),
        expected,
        1e-6,
      ),
    ).toBeLessThan(1);
    expect(await decoding.logProb(drawn)).toEqual(drawn.logProbs);
  });

  test('a sample depends on its prompt, number and seed alone', async () => {
    const all = await decoding.sample([0, 1], { N: 200, seed: 4, maxLength: 30 }, { threads: 2 });
    const some = await decoding.sample([1, 0], { samples: [199, 3], seed: 4, maxLength: 30 }, { threads: 1 });
    expect(tokensOf(some)).toEqual([tokensOf(all)[399], tokensOf(all)[3]]);
    const other = await decoding.sample([0, 1], { N: 200, seed: 5, maxLength: 30 });
    expect(tokensOf(other)).not.toEqual(tokensOf(all));
    expect(all.ended.every((ended, i) => ended === 1 || all.offsets[i + 1]! - all.offsets[i]! === 30)).toBe(true);
  });

  test('scores training sequences as the path of token-level SGD met them (Sec. I.6)', async () => {
    const data = await model.sample([0, 1, 2], { N: 30, seed: 6, maxLength: 25 });
    const noted = await fit(model, data, { rule: 'token-sgd', stepSize: eta, projection, checkpoints: 1 });
    for (let t = 0; t < data.prompts.length; t++) {
      const one: Responses = {
        prompts: [data.prompts[t]!],
        tokens: data.tokens.slice(data.offsets[t], data.offsets[t + 1]),
        offsets: [0, data.offsets[t + 1]! - data.offsets[t]!],
      };
      const at = new TestTimeModel(model.withTheta(noted.checkpoints[t]!.theta), { stepSize: eta, projection });
      // The same bits: it is the same sum.
      expect((await at.logProb(one))[0]).toBe(noted.logProbs[t]);
    }
  });

  test('without steps it is the model', async () => {
    const data = await model.sample([0, 1], { N: 20, seed: 6, maxLength: 25 });
    const still = await new TestTimeModel(model, { stepSize: 0, projection: 'none' }).logProb(data);
    for (const [i, x] of (await model.logProb(data)).entries()) expect(still[i]).toBeCloseTo(x, 11);
  });

  test('takes part in Best-of-N', async () => {
    const best = await bestOfN(decoding, [0, 1], { N: 50, seed: 2, maxLength: 20, reward: { logProb: decoding } });
    const all = await decoding.sample([0, 1], { N: 50, seed: 2, maxLength: 20 });
    for (const p of [0, 1]) {
      expect(best.best!.rewards[p]).toBeCloseTo(Math.max(...all.logProbs.subarray(50 * p, 50 * (p + 1))), 10);
    }
  });

  test('refuses what does not fit', async () => {
    expect(() => new TestTimeModel({} as never, { stepSize: 1 })).toThrow('a LinearModel');
    expect(() => new TestTimeModel(model, { stepSize: -1 })).toThrow('stepSize');
    expect(() => new TestTimeModel(model, { stepSize: 1, projection: { ball: 0 } })).toThrow('projection.ball');
    expect(() => new TestTimeModel(model, { stepSize: 1, projection: { box: [1, 0] } })).toThrow(
      'projection.box[0][0]',
    );
    await expect(decoding.logProb(responsesOf([0], [[7]]))).rejects.toThrow('tokens[0] (response 0)');
    await expect(decoding.sample([9], { N: 1 })).rejects.toThrow('prompts[0]');
    const state = plain.machine.start[0]!;
    const ends = [0, 1, 2].find((token) => plain.machine.next[state * 3 + token] === -1);
    if (ends !== undefined)
      expect(await decoding.logProb(responsesOf([0], [[ends, 0]]))).toEqual(Float64Array.of(-Infinity));
  });
});
