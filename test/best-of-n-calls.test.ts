/** Best-of-N calls: cancellation, progress, errors. */

import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { bestOfN, type Reward, type SampledResponses, type SequenceModel, TabularModel } from '../lib/index.ts';
import { addon } from '../lib/native/index.ts';
import { coin, responsesOf } from './support/machines.ts';

const model = coin(0.3, 0.6);
const prompts = [0, 1];
const zero: Reward = ({ prompts }: SampledResponses) => new Float64Array(prompts.length);
/** A response goes on for maxLength tokens. */
const endless = new TabularModel({
  vocab: 2,
  logProbs: Float64Array.of(Math.log(0.5), Math.log(0.5)),
  next: new Int32Array(2),
  start: [0],
});

describe('a Best-of-N call', () => {
  test.each([
    ['natively', { logProb: endless } as Reward],
    ['with a reward function', zero],
  ])('%s: ends soon when it is told to, with the reason', async (_, reward) => {
    const controller = new AbortController();
    const reason = new Error('enough');
    let aborted = 0;
    const running = bestOfN(
      endless,
      [0],
      { N: 2 ** 31, reward, maxLength: 1000 },
      {
        signal: controller.signal,
        onProgress: () => {},
      },
    );
    setTimeout(() => {
      aborted = performance.now();
      controller.abort(reason);
    }, 100);
    await expect(running).rejects.toBe(reason);
    // Contract: 50 ms. Not a speed but a promise; the bound leaves room for a busy machine.
    expect(performance.now() - aborted).toBeLessThan(500);
  });

  test('ends while a reward function takes its time', async () => {
    const controller = new AbortController();
    const reward = () => {
      setTimeout(() => controller.abort(new Error('waited')), 5);
      return new Promise<number[]>(() => {});
    };
    await expect(bestOfN(model, prompts, { N: 10, reward }, { signal: controller.signal })).rejects.toThrow('waited');
  });

  test('a reward that fails after the end it asked for is nobody’s rejection', async () => {
    const controller = new AbortController();
    const reward = async (): Promise<number[]> => {
      controller.abort(new Error('enough'));
      throw new Error('unheard'); // Vitest fails where it is
    };
    const running = bestOfN(model, prompts, { N: 10, reward }, { signal: controller.signal });
    await expect(running).rejects.toThrow('enough');
    await new Promise((resolve) => setTimeout(resolve, 10));
  });

  test.each([
    ['a function', zero],
    ['native', { logProb: model }],
  ])('%s: may be told to end at the last report', async (_, reward) => {
    const controller = new AbortController();
    const onProgress = (fraction: number) => fraction === 1 && controller.abort(new Error('at last'));
    const running = bestOfN(model, prompts, { N: 100, reward }, { signal: controller.signal, onProgress });
    await expect(running).rejects.toThrow('at last');
  });

  test.each([
    ['a function', zero],
    ['native', { logProb: model }],
  ])('%s: the signal’s reason comes before what a progress report throws', async (_, reward) => {
    const controller = new AbortController();
    const onProgress = () => {
      controller.abort(new Error('the reason'));
      throw new Error('a report');
    };
    const running = bestOfN(model, prompts, { N: 100, reward }, { signal: controller.signal, onProgress });
    await expect(running).rejects.toThrow('the reason');
  });

  test('leaves no listener at the signal', async () => {
    const { signal } = new AbortController();
    const calls = [zero, { logProb: model }, async () => new Float64Array(prompts.length * 10)].map((reward) =>
      bestOfN(model, prompts, { N: 10, reward }, { signal }),
    );
    expect(getEventListeners(signal, 'abort').length).toBe(1);
    await Promise.all(calls);
    expect(getEventListeners(signal, 'abort').length).toBe(0);
  });

  test('reports progress up to 1', async () => {
    for (const reward of [zero, { logProb: model }]) {
      const seen: number[] = [];
      await bestOfN(model, prompts, { N: 50_000, reward }, { onProgress: (fraction) => seen.push(fraction) });
      expect(seen.at(-1)).toBe(1);
      expect(seen).toEqual([...seen].sort((a, b) => a - b));
    }
  });

  test('hands a reward function batches in order, each response once', async () => {
    const seen: string[] = [];
    const reward = async (batch: SampledResponses) => {
      expect(batch.prompts.length).toBeLessThanOrEqual(7);
      for (const [i, prompt] of batch.prompts.entries()) seen.push(`${prompt}:${batch.samples[i]}`);
      await new Promise((resolve) => setTimeout(resolve, seen.length % 3));
      return [...batch.prompts];
    };
    const { statistics } = await bestOfN(model, [1, 0], { N: 25, reward }, { batch: 7 });
    expect(seen).toEqual([1, 0].flatMap((prompt) => Array.from({ length: 25 }, (_, i) => `${prompt}:${i}`)));
    expect([...statistics.meanReward]).toEqual([1, 0]);
  });

  test('passes on what a reward function or a model throws, and leaves nothing unhandled', async () => {
    const broken = () => {
      throw new Error('no verifier');
    };
    await expect(bestOfN(model, prompts, { N: 100_000, reward: broken })).rejects.toThrow('no verifier');
    const late = async () => Promise.reject(new Error('later'));
    await expect(bestOfN(model, prompts, { N: 100_000, reward: late })).rejects.toThrow('later');
    const failing: SequenceModel = { ...modelFaces(model), sample: () => Promise.reject(new Error('no model')) };
    await expect(bestOfN(failing, prompts, { N: 100_000, reward: zero })).rejects.toThrow('no model');
  });

  test('no prompts is no responses', async () => {
    for (const reward of [zero, { logProb: model }]) {
      const run = await bestOfN(model, [], { N: 10, reward });
      expect(run.bestRewards.length).toBe(0);
      expect([...run.best!.offsets]).toEqual([0]);
    }
  });

  test('infinite rewards count, NaN does not', async () => {
    const infinite = ({ samples }: SampledResponses) =>
      Float64Array.from(samples, (sample) => (sample === 3 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY));
    const run = await bestOfN(model, [0], { N: 8, reward: infinite });
    expect([...run.bestRewards]).toEqual([-Infinity, -Infinity, Infinity, Infinity]);
    expect([...run.successes!]).toEqual([0, 0, 1, 1]);
    expect(run.best!.samples[0]).toBe(3);
    const nan = ({ prompts }: SampledResponses) =>
      prompts.length > 0 ? new Float64Array(prompts.length).fill(Number.NaN) : [];
    await expect(bestOfN(model, prompts, { N: 8, reward: nan })).rejects.toMatchObject({
      code: 'ERR_COVN_NON_FINITE',
      message: expect.stringContaining('sample 0 of prompt 0'),
    });
  });

  test('refuses what makes no sense', async () => {
    const next = Int32Array.of(0, 0);
    const table = responsesOf([0, 0, 1], [[0], [0], [1]]);
    const refused: [object, string][] = [
      [{ N: 0 }, 'ERR_COVN_RANGE'],
      [{ N: 2 ** 31 + 1 }, 'ERR_COVN_RANGE'],
      [{ N: '4' }, 'ERR_COVN_DTYPE'],
      [{ maxLength: 0 }, 'ERR_COVN_RANGE'],
      [{ seed: 0.5 }, 'ERR_COVN_RANGE'],
      [{ keep: 'everything' }, 'ERR_COVN_DTYPE'],
      [{ keep: { top: 0 } }, 'ERR_COVN_RANGE'],
      [{ keep: { best: 1 } }, 'ERR_COVN_DTYPE'],
      [{ keep: 'all', N: 2 ** 30 }, 'ERR_COVN_RANGE'],
      [{ success: Number.NaN }, 'ERR_COVN_RANGE'],
      [{ reward: undefined }, 'ERR_COVN_DTYPE'],
      [{ reward: {} }, 'ERR_COVN_DTYPE'],
      [{ reward: { equals: table, logProb: model } }, 'ERR_COVN_DTYPE'],
      [{ reward: { logprob: model } }, 'ERR_COVN_DTYPE'],
      [{ reward: { logProb: {} } }, 'ERR_COVN_DTYPE'],
      [{ reward: { logProb: endless } }, 'ERR_COVN_SHAPE'],
      [{ reward: { equals: responsesOf([0], [[0]]) } }, 'ERR_COVN_RANGE'],
      [{ reward: { table: { ...table, values: [1, 1, 1], otherwise: Number.NaN } } }, 'ERR_COVN_NON_FINITE'],
      [{ reward: { equals: responsesOf([0, 1], [[0], [2]]) } }, 'ERR_COVN_RANGE'],
      [{ reward: { table: { ...table, values: [1, 2, 3] } } }, 'ERR_COVN_RANGE'],
      [{ reward: { table: { ...table, values: [1, 1] } } }, 'ERR_COVN_SHAPE'],
      [{ reward: { automaton: { next, start: 0 } } }, 'ERR_COVN_DTYPE'],
      [{ reward: { automaton: { next, start: 1, accepting: [0] } } }, 'ERR_COVN_RANGE'],
      [{ reward: { automaton: { next, start: [0], accepting: [0] } } }, 'ERR_COVN_SHAPE'],
      [{ reward: { automaton: { next: Int32Array.of(0, 1), start: 0, accepting: [0] } } }, 'ERR_COVN_RANGE'],
      [{ reward: { automaton: { next, start: 0, accepting: [1] } } }, 'ERR_COVN_RANGE'],
      [{ reward: { automaton: { next, start: 0, values: [Number.NaN] } } }, 'ERR_COVN_NON_FINITE'],
      [{ reward: { automaton: { next, start: 0, accepting: [0], classes: [0] } } }, 'ERR_COVN_SHAPE'],
      [{ reward: () => [1] }, 'ERR_COVN_SHAPE'],
      [{ reward: () => 1 }, 'ERR_COVN_DTYPE'],
      [{ rewards: zero }, 'ERR_COVN_DTYPE'],
    ];
    for (const [change, code] of refused) {
      const call = bestOfN(model, prompts, { N: 4, reward: zero, ...change } as never);
      await expect(call, JSON.stringify(change)).rejects.toMatchObject({ code });
    }
    const request = { N: 4, reward: zero };
    await expect(bestOfN(model, [0, 2], request)).rejects.toMatchObject({ code: 'ERR_COVN_RANGE' });
    await expect(bestOfN(model, [0, 0], request)).rejects.toMatchObject({ code: 'ERR_COVN_RANGE' });
    await expect(bestOfN({} as never, [0], request)).rejects.toMatchObject({ code: 'ERR_COVN_DTYPE' });
    await expect(bestOfN(model, [0], request, { batch: 0 })).rejects.toMatchObject({ code: 'ERR_COVN_RANGE' });
    await expect(bestOfN(model, [0], request, { lend: 1 as never })).rejects.toMatchObject({ code: 'ERR_COVN_DTYPE' });
    await expect(bestOfN(model, [0], request, { lends: true } as never)).rejects.toThrow(/one of batch, lend, device/);
    await expect(bestOfN(model, [0], request, { batches: 9 } as never)).rejects.toMatchObject({
      code: 'ERR_COVN_DTYPE',
    });
  });
});

describe('models that are not covn’s', () => {
  const N = 300;
  const rewardOf = ({ tokens, offsets }: SampledResponses) =>
    Float64Array.from({ length: offsets.length - 1 }, (_, i) => tokens[offsets[i]!]!);

  test('a class with ways of its own is asked, never passed by', async () => {
    class Ones extends TabularModel {
      override async sample(...request: Parameters<TabularModel['sample']>) {
        const drawn = await super.sample(...request);
        drawn.tokens.fill(1);
        return drawn;
      }
      override async logProb({ prompts }: Parameters<TabularModel['logProb']>[0]) {
        return new Float64Array(prompts.length).fill(-7);
      }
    }
    const half = new Float64Array(2).fill(Math.log(0.5));
    const ones = new Ones({ vocab: 2, logProbs: half, next: new Int32Array(2).fill(-1), start: [0] });
    const table = { ...responsesOf([0, 0], [[0], [1]]), values: [0, 1] };
    expect((await bestOfN(ones, [0], { N, reward: { table } })).counts!.correct[0]).toBe(N);
    expect((await bestOfN(ones, [0], { N, reward: rewardOf })).counts!.correct[0]).toBe(N);
    expect((await bestOfN(ones, [0], { N, reward: { logProb: ones } })).best!.rewards[0]).toBe(-7);
    expect((await bestOfN(coin(0.5), [0], { N, reward: { logProb: ones } })).best!.rewards[0]).toBe(-7);
  });

  test('what they draw is checked', async () => {
    const whole = model.sample.bind(model);
    const change = (edit: (drawn: SampledResponses) => unknown): SequenceModel => ({
      ...modelFaces(model),
      sample: async (...request) => edit(await whole(...request)) as SampledResponses,
    });
    const wrong: [(drawn: SampledResponses) => unknown, string][] = [
      [() => undefined, 'ERR_COVN_DTYPE'],
      [() => ({}), 'ERR_COVN_DTYPE'],
      [(drawn) => ({ ...drawn, prompts: drawn.prompts.slice(1) }), 'ERR_COVN_SHAPE'],
      [(drawn) => ({ ...drawn, prompts: drawn.prompts.map((p) => 1 - p) }), 'ERR_COVN_RANGE'],
      [(drawn) => ({ ...drawn, samples: drawn.samples.map((s) => s + 1) }), 'ERR_COVN_RANGE'],
      [(drawn) => ({ ...drawn, tokens: [...drawn.tokens] }), 'ERR_COVN_DTYPE'],
      [(drawn) => ({ ...drawn, tokens: drawn.tokens.map(() => 2) }), 'ERR_COVN_RANGE'],
      [(drawn) => ({ ...drawn, tokens: drawn.tokens.slice(1) }), 'ERR_COVN_SHAPE'],
      [(drawn) => ({ ...drawn, offsets: drawn.offsets.slice(1) }), 'ERR_COVN_RANGE'],
      [(drawn) => ({ ...drawn, logProbs: drawn.logProbs.map(() => Number.NaN) }), 'ERR_COVN_RANGE'],
      [(drawn) => ({ ...drawn, logProbs: drawn.logProbs.map((x) => -x) }), 'ERR_COVN_RANGE'],
      [(drawn) => ({ ...drawn, ended: drawn.ended.map(() => 7) }), 'ERR_COVN_RANGE'],
    ];
    for (const [edit, code] of wrong) {
      await expect(bestOfN(change(edit), prompts, { N, reward: zero }), String(edit)).rejects.toMatchObject({ code });
    }
    const thrown = {
      ...modelFaces(model),
      sample: () => {
        throw new Error('at once');
      },
    };
    await expect(bestOfN(thrown, prompts, { N, reward: zero })).rejects.toThrow('at once');
  });

  test('a reward function may do what it likes with its batch', async () => {
    const vandal = (batch: SampledResponses) => {
      const rewards = rewardOf(batch);
      for (const name of ['prompts', 'samples', 'tokens', 'offsets', 'logProbs', 'ended'] as const) {
        new Uint8Array(batch[name].buffer).fill(7); // all that there is around the array, too
      }
      for (const array of [batch.prompts, batch.tokens])
        structuredClone(array, { transfer: [array.buffer as ArrayBuffer] });
      return rewards;
    };
    const request = { N, seed: 3, keep: 'all' as const };
    const expected = await bestOfN(model, prompts, { ...request, reward: rewardOf });
    for (const lend of [false, true]) {
      for (const options of [{ lend }, { lend, batch: 50 }]) {
        expect(await bestOfN(model, prompts, { ...request, reward: vandal }, options)).toEqual(expected);
      }
    }
  });

  test.each([
    ['covn’s', model],
    ['another', modelFaces(model)],
  ])('batches of %s model are kept, or taken back where they are only lent', async (_, of) => {
    const names = ['prompts', 'samples', 'tokens', 'offsets', 'logProbs', 'ended'] as const;
    const request = { N, seed: 3, keep: 'all' as const };
    for (const batch of [50, 64, 4096]) {
      const [handed, seen]: SampledResponses[][] = [[], []];
      // One of the arrays that it was handed is what it gives, later: they are taken back after that.
      const reward = async (drawn: SampledResponses) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        handed!.push({ ...drawn });
        seen!.push(structuredClone(drawn));
        return drawn.logProbs;
      };
      const kept = await bestOfN(of, prompts, { ...request, reward }, { batch });
      expect(handed).toEqual(seen);
      expect([...kept.rewarded!.rewards]).toEqual(seen!.flatMap(({ logProbs }) => [...logProbs]));
      const before = seen!.splice(0);
      handed!.length = 0;
      expect(await bestOfN(of, prompts, { ...request, reward }, { batch, lend: true })).toEqual(kept);
      expect(seen).toEqual(before);
      for (const arrays of handed!) for (const name of names) expect(arrays[name]).toHaveLength(0);
    }
  });

  test('takes back what covn made, all of it, and nothing else', async () => {
    const native = addon();
    const { detach } = native;
    let tokens = 0;
    native.detach = (...arrays) => {
      tokens += arrays[2]!.length;
      detach(...arrays);
    };
    try {
      const mine = new Int32Array(3);
      const handed: SampledResponses[] = [];
      const reward = (batch: SampledResponses) => {
        handed.push({ ...batch });
        const rewards = rewardOf(batch);
        Object.assign(batch, { tokens: mine });
        return rewards;
      };
      const ends = { N, maxLength: 1, reward };
      await bestOfN(coin(0.5), [0], ends, { batch: 50, lend: true });
      expect(tokens).toBe(2 * N); // a draw that was divided, and its parts
      expect(mine).toHaveLength(3);
      // Another model's rewards are not a function's: what it was handed stays.
      const logProb: SequenceModel['logProb'] = async (responses, options) => {
        handed.push(responses as SampledResponses);
        return model.logProb(responses, options);
      };
      handed.length = tokens = 0;
      await bestOfN(model, prompts, { N, reward: { logProb: { ...modelFaces(model), logProb } } }, { lend: true });
      expect(tokens).toBe(0);
      expect(handed[0]!.prompts).toHaveLength(2 * N);
      // Nor is anything taken from a function that failed.
      handed.length = 0;
      const fails: Reward = (batch) => {
        handed.push(batch);
        return [Number.NaN];
      };
      await expect(bestOfN(model, prompts, { N, reward: fails }, { lend: true })).rejects.toThrow();
      expect(handed[0]!.prompts).toHaveLength(2 * N);
    } finally {
      native.detach = detach;
    }
  });
});

describe('a reward function that never waits', () => {
  test('takes what a model of others gives before the model uses its arrays again', async () => {
    let kept: SampledResponses | undefined;
    const faces = modelFaces(endless);
    const frugal: SequenceModel = {
      ...faces,
      async sample(...request) {
        const drawn = await faces.sample(...request);
        if (drawn.prompts.length !== 8) return drawn; // the winner, once more
        kept ??= drawn;
        for (const name of ['prompts', 'samples', 'tokens', 'offsets', 'logProbs', 'ended'] as const) {
          kept[name].set(drawn[name]);
        }
        return kept;
      },
    };
    const reward: Reward = async ({ tokens }) => {
      await new Promise((resolve) => setTimeout(resolve, 2)); // others are drawn meanwhile
      return Array.from({ length: 8 }, (_, i) => tokens.subarray(10 * i, 10 * i + 10).reduce((a, b) => 2 * a + b));
    };
    const request = { N: 64, reward, maxLength: 10, seed: 3 };
    for (const lend of [false, true]) {
      const runs = [frugal, faces].map((each) => bestOfN(each, [0], request, { batch: 8, lend }));
      const [found, wanted] = await Promise.all(runs);
      expect(found).toEqual(wanted);
    }
  });

  test('leaves timers their turn, whatever the batch', async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('in time')), 50);
    const running = bestOfN(model, [0], { N: 2 ** 31, reward: zero }, { batch: 8, signal: controller.signal });
    await expect(running).rejects.toThrow('in time');
  });
});

/** A model's functions, so that one of them can be replaced. */
function modelFaces(of: SequenceModel): SequenceModel {
  return { vocab: of.vocab, logProb: (...a) => of.logProb(...a), sample: (...a) => of.sample(...a) };
}
