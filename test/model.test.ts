/** Models over finite machines. */

import { describe, expect, test } from 'vitest';
import { type TabularInput, TabularModel } from '../lib/index.ts';
import { chiSquareShare } from './support/chi-square.ts';
import { listResponses, randomMachine, responsesOf, tokensOf } from './support/machines.ts';

describe('TabularModel', () => {
  // Each state is where the responses to a prompt begin.
  const input = { ...randomMachine(3), start: [0, 1, 2, 3] };
  const model = new TabularModel(input);
  const maxLength = 4;

  test('has the log-probs of all its responses, and they sum to 1', async () => {
    for (let prompt = 0; prompt < model.prompts; prompt++) {
      const listed = listResponses(input, prompt, maxLength);
      const responses = responsesOf(
        listed.map(() => prompt),
        listed.map(({ tokens }) => tokens),
      );
      const logProbs = await model.logProb(responses);
      for (const [i, { logProb }] of listed.entries()) expect(logProbs[i]).toBeCloseTo(logProb, 12);
      expect(logProbs.reduce((sum, x) => sum + Math.exp(x), 0)).toBeCloseTo(1, 12);
    }
  });

  test('samples follow the distribution of whole responses', async () => {
    const N = 200_000;
    for (let prompt = 0; prompt < model.prompts; prompt++) {
      const listed = listResponses(input, prompt, maxLength);
      const drawn = await model.sample([prompt], { N, seed: 8, maxLength });
      const counts = new Map(listed.map(({ tokens }) => [tokens.join(), 0]));
      const keys = tokensOf(drawn).map((tokens) => tokens.join());
      for (const key of keys) counts.set(key, counts.get(key)! + 1);
      expect(counts.size).toBe(listed.length);
      for (const [i, key] of keys.slice(0, 100).entries()) {
        const { logProb, ended } = listed.find(({ tokens }) => tokens.join() === key)!;
        expect(drawn.logProbs[i]).toBeCloseTo(logProb, 9);
        expect(drawn.ended[i]).toBe(ended ? 1 : 0);
      }
      const seen = listed.map(({ tokens }) => counts.get(tokens.join())!);
      const expected = listed.map(({ logProb }) => N * Math.exp(logProb));
      // False-alarm rate 1e-6 for each prompt.
      expect(chiSquareShare(seen, expected, 1e-6)).toBeLessThan(1);
    }
  });

  test('a sample depends on its prompt, number and seed alone', async () => {
    const all = await model.sample([0, 1], { N: 1000, seed: 4, maxLength: 50 }, { threads: 2 });
    const tokens = tokensOf(all);
    const some = await model.sample([1, 0, 1], { samples: [999, 3, 0], seed: 4, maxLength: 50 }, { threads: 1 });
    expect(tokensOf(some)).toEqual([tokens[1999], tokens[3], tokens[1000]]);
    expect([...some.samples]).toEqual([999, 3, 0]);
    const cut = await model.sample([1], { samples: [999], seed: 4, maxLength: 2 });
    expect(tokensOf(cut)[0]).toEqual(tokens[1999]!.slice(0, 2));
    const other = await model.sample([0, 1], { N: 1000, seed: 5, maxLength: 50 });
    expect(tokensOf(other)).not.toEqual(tokens);
  });

  test('sparse rows are the same machine', async () => {
    const entries = [...input.logProbs.keys()].filter((i) => input.logProbs[i]! > Number.NEGATIVE_INFINITY);
    const offsets = Array.from(
      { length: model.states + 1 },
      (_, s) => entries.filter((i) => i < s * input.vocab).length,
    );
    const sparse = new TabularModel({
      ...input,
      logProbs: Float64Array.from(entries, (i) => input.logProbs[i]!),
      next: Int32Array.from(entries, (i) => input.next[i]!),
      tokens: Int32Array.from(entries, (i) => i % input.vocab),
      offsets,
    });
    const listed = listResponses(input, 0, maxLength);
    // And one that the machine cannot say.
    const never = [...input.logProbs.keys()].find((i) => !entries.includes(i))!;
    const responses = responsesOf(
      [...listed.map(() => 0), Math.floor(never / input.vocab)],
      [...listed.map(({ tokens }) => tokens), [never % input.vocab]],
    );
    expect(await sparse.logProb(responses)).toEqual(await model.logProb(responses));
    const drawn = await sparse.sample([0, 1], { N: 500, seed: 2, maxLength: 9 });
    expect(await model.logProb(drawn)).toEqual(await sparse.logProb(drawn));
  });

  test('stop tokens end a response wherever next leads', async () => {
    const stopping = new TabularModel({
      vocab: 2,
      logProbs: Float64Array.of(Math.log(0.5), Math.log(0.5)),
      next: Int32Array.of(0, 0),
      start: [0],
      stop: [1],
    });
    const drawn = await stopping.sample([0], { N: 100, maxLength: 200 });
    expect(drawn.ended.every((ended) => ended === 1)).toBe(true);
    for (const tokens of tokensOf(drawn)) expect(tokens.indexOf(1)).toBe(tokens.length - 1);
    const [ended, past] = await stopping.logProb(
      responsesOf(
        [0, 0],
        [
          [0, 1],
          [1, 0],
        ],
      ),
    );
    expect(ended).toBeCloseTo(2 * Math.log(0.5), 15);
    expect(past).toBe(Number.NEGATIVE_INFINITY);
  });

  test('refuses machines, prompts and responses that are not sound', async () => {
    const half = Float64Array.of(Math.log(0.5), Math.log(0.5));
    const sound = { vocab: 2, logProbs: half, next: Int32Array.of(-1, 0), start: [0] };
    const refused: [Partial<TabularInput>, string][] = [
      [{ vocab: 3 }, 'ERR_COVN_SHAPE'],
      [{ vocab: 0 }, 'ERR_COVN_RANGE'],
      [{ next: Int32Array.of(0) }, 'ERR_COVN_SHAPE'],
      [{ next: Int32Array.of(0, 1) }, 'ERR_COVN_RANGE'],
      [{ next: Int32Array.of(0, -2) }, 'ERR_COVN_RANGE'],
      [{ start: [1] }, 'ERR_COVN_RANGE'],
      [{ start: [-1] }, 'ERR_COVN_RANGE'],
      [{ stop: [2] }, 'ERR_COVN_RANGE'],
      [{ logProbs: [0, 0] as never }, 'ERR_COVN_DTYPE'],
      [{ offsets: [0, 2] }, 'ERR_COVN_DTYPE'],
      [{ offsets: [0, 2], tokens: Int32Array.of(1, 0) }, 'ERR_COVN_RANGE'],
      [{ offsets: [0, 3], tokens: Int32Array.of(0, 1) }, 'ERR_COVN_SHAPE'],
      [{ logprobs: half } as never, 'ERR_COVN_DTYPE'],
    ];
    for (const [change, code] of refused) {
      const make = () => new TabularModel({ ...sound, ...change });
      expect(make, JSON.stringify(change)).toThrow(expect.objectContaining({ code }));
    }
    // Probabilities are looked at when the tables are made.
    for (const [logProbs, code] of [
      [Float64Array.of(Math.log(0.5), Math.log(0.4)), 'ERR_COVN_RANGE'],
      [Float64Array.of(Number.NaN, 0), 'ERR_COVN_NON_FINITE'],
      [Float64Array.of(0.1, -5), 'ERR_COVN_RANGE'],
    ] as const) {
      const bad = () => new TabularModel({ ...sound, logProbs }).sample([0], { N: 1 });
      await expect(Promise.resolve().then(bad), String(logProbs)).rejects.toMatchObject({ code });
    }
    const fine = new TabularModel(sound);
    const range = { code: 'ERR_COVN_RANGE' };
    await expect(fine.sample([1], { N: 1 })).rejects.toMatchObject(range);
    await expect(fine.sample([0], { N: 1, maxLength: 0 })).rejects.toMatchObject(range);
    await expect(fine.sample([0], { samples: [2 ** 32] })).rejects.toMatchObject(range);
    await expect(fine.sample([0], {})).rejects.toMatchObject({ code: 'ERR_COVN_DTYPE' });
    await expect(fine.logProb(responsesOf([0], [[2]]))).rejects.toMatchObject(range);
    await expect(fine.logProb(responsesOf([0], [[-1]]))).rejects.toMatchObject(range);
    await expect(fine.logProb({ ...responsesOf([0], [[1]]), offsets: [0, 2] })).rejects.toMatchObject({
      code: 'ERR_COVN_SHAPE',
    });
  });
});
