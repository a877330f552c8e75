import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PhiloxStream, philox } from '../lib/estimate/index.ts';
import { onPolicyGenerations, TabularModel, tournament } from '../lib/index.ts';
import { testRandom } from './oracles/logprob.ts';

interface Instance {
  logProbs: Float64Array;
  models: number;
  onPolicy: { logProbs: Float64Array; offsets: number[]; exponent: number };
}

/** Weighted share of columns from .. to in which j exceeds i by the threshold. */
function share(
  logProbs: Float64Array,
  models: number,
  i: number,
  j: number,
  threshold: number,
  weights: number[],
  from = 0,
) {
  const columns = logProbs.length / models;
  let [hits, total] = [0, 0];
  for (const [k, weight] of weights.entries()) {
    const r = from + k;
    total += weight;
    if (logProbs[j * columns + r]! - logProbs[i * columns + r]! >= threshold) hits += weight;
  }
  return hits / total;
}

/** Eq. 32 by its definition: the value of opponent j against model i, `threshold` = log N. */
function value(
  { logProbs, models, onPolicy }: Instance,
  [i, j]: [number, number],
  threshold: number,
  responses: number[],
  own: number[],
) {
  const weight = 2 * Math.exp(threshold) ** onPolicy.exponent;
  const gap = share(logProbs, models, i, j, threshold, responses);
  return gap - weight * share(onPolicy.logProbs, models, i, j, threshold, own, onPolicy.offsets[i]!);
}

/** The models that are left at each rung, and the scores at N. */
function play(instance: Instance, N: number, responses: number[], own: number[][]) {
  const all = own.map((_, i) => i);
  const scoresAt = (threshold: number) =>
    all.map((i) => Math.max(...all.map((j) => value(instance, [i, j], threshold, responses, own[i]!))));
  const scores = scoresAt(Math.log(N));
  let tied = all;
  const rungs: number[][] = [];
  for (let halving = 0; halving <= 10 && (halving === 0 || (N > 1 && tied.length > 1)); halving++) {
    const at = scoresAt(Math.log(N) / 2 ** halving);
    const least = Math.min(...tied.map((i) => at[i]!));
    tied = tied.filter((i) => at[i] === least);
    rungs.push(tied);
  }
  const n = instance.logProbs.length / all.length;
  const likelihood = (i: number) =>
    responses.reduce((sum, w, r) => (w > 0 ? sum + w * instance.logProbs[i * n + r]! : sum), 0);
  const winner = tied.reduce((best, i) => (likelihood(i) > likelihood(best) + 1e-9 ? i : best));
  return { scores, rungs, winner };
}

const ones = (n: number) => new Array<number>(n).fill(1);
const cell = fc.integer({ min: -12, max: 0 }).map((k) => (k * Math.LN2) / 2);
const cells = (n: number) => fc.array(cell, { minLength: n, maxLength: n }).map((list) => Float64Array.from(list));
const instances: fc.Arbitrary<Instance> = fc
  .record({
    sizes: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 }),
    n: fc.integer({ min: 1, max: 20 }),
    exponent: fc.constantFrom(0, 0.25, 1),
  })
  .chain(({ sizes, n, exponent }) => {
    const offsets = [0];
    for (const size of sizes) offsets.push(offsets.at(-1)! + size);
    return fc.record({
      models: fc.constant(sizes.length),
      logProbs: cells(sizes.length * n),
      onPolicy: cells(sizes.length * offsets.at(-1)!).map((logProbs) => ({ logProbs, offsets, exponent })),
    });
  });

const sizesOf = ({ onPolicy: { offsets } }: Instance) => offsets.slice(1).map((end, i) => end - offsets[i]!);

describe('offset tournament', () => {
  test('is Eq. 32 by plain loops: scores, ties, ladder, winner, opponents', async () => {
    await fc.assert(
      fc.asyncProperty(instances, fc.constantFrom(1, 2, 3.7, 16), async (instance, N) => {
        const { models } = instance;
        const responses = ones(instance.logProbs.length / models);
        const own = sizesOf(instance).map(ones);
        const expected = play(instance, N, responses, own);
        const t = await tournament({ ...instance, N, bootstrap: 100 });
        expect(t.rule).toBe('offset');
        for (let i = 0; i < models; i++) expect(t.scores[i]).toBeCloseTo(expected.scores[i]!, 12);
        expect(t.tied).toEqual(expected.rungs[0]);
        expect(t.ladder.map((rung) => rung.tied)).toEqual(expected.rungs);
        expect(t.winner).toBe(expected.winner);
        for (let i = 0; i < models && models > 1; i++) {
          const values = own.map((_, j) =>
            j === i ? -Infinity : value(instance, [i, j], Math.log(N), responses, own[i]!),
          );
          expect(t.worstOpponent[i]).toBe(values.indexOf(Math.max(...values)));
        }
      }),
      { seed: 3, numRuns: 100 },
    );
  });

  test('its bootstrap draws responses and, apart from them, the generations of each model', async () => {
    const [models, n, replicates] = [3, 40, 200];
    const random = testRandom(8);
    const table = (length: number) => Float64Array.from({ length }, () => -random.integer(6) * 0.5);
    const offsets = [0, 30, 75, 100];
    const clusters = Array.from({ length: 100 }, (_, g) => `prompt ${g % 7}`);
    const instance = {
      models,
      logProbs: table(models * n),
      onPolicy: { logProbs: table(models * 100), offsets, exponent: 0 },
    };
    const drawn = (units: number, next: (k: number) => number) => {
      const weights = new Array<number>(units).fill(0);
      for (let k = 0; k < units; k++) weights[next(k)]!++;
      return weights;
    };
    for (const labels of [undefined, clusters]) {
      const wins = new Array<number>(models).fill(0);
      const scores: number[] = [];
      for (let b = 1; b <= replicates; b++) {
        const words = new Uint32Array(4);
        const responses = drawn(n, (k) => {
          philox(Uint32Array.of(k, 0, b, 1), 5, 0, words);
          return Number((((BigInt(words[0]!) << 32n) | BigInt(words[1]!)) * BigInt(n)) >> 64n);
        });
        const own = [0, 1, 2].map((i) => {
          const names = Array.from(
            { length: offsets[i + 1]! - offsets[i]! },
            (_, g) => labels?.[offsets[i]! + g] ?? `${g}`,
          );
          const seen = [...new Set(names)];
          const stream = new PhiloxStream(5, b, 2 ** 16 + i);
          const weights = drawn(seen.length, () => stream.below(seen.length));
          return names.map((name) => weights[seen.indexOf(name)]!);
        });
        const { winner, scores: all } = play(instance, 2, responses, own);
        wins[winner]!++;
        scores.push(all[0]!);
      }
      const onPolicy = { ...instance.onPolicy, ...(labels && { clusters: labels }) };
      const t = await tournament({ ...instance, onPolicy, N: 2, bootstrap: replicates, seed: 5 });
      expect([...t.selectionProbability]).toEqual(wins.map((count) => count / replicates));
      expect(t.scoreEstimates[0]!.lower).toBeLessThanOrEqual(scores.sort((a, b) => a - b)[5]!);
      expect(t.scoreEstimates[0]!.upper).toBeGreaterThanOrEqual(scores[replicates - 6]!);
    }
  });

  test('with no hit among the generations it is the tournament of Eq. 29, replicates included', async () => {
    const random = testRandom(21);
    const [models, n] = [5, 700];
    const logProbs = Float64Array.from({ length: models * n }, () => -6 * random.uniform());
    const onPolicy = {
      logProbs: new Float64Array(models * models * n),
      offsets: ones(models + 1).map((_, i) => i * n),
    };
    for (const clusters of [undefined, Int32Array.from({ length: n }, (_, r) => Math.floor(Math.sqrt(r)))]) {
      const input = {
        logProbs,
        models,
        N: [1.5, 8, 300],
        bootstrap: 300,
        seed: 2 ** 40 + 7,
        ...(clusters && { clusters }),
      };
      const plain = await tournament(input);
      const offset = await tournament({ ...input, onPolicy });
      for (const [k, t] of offset.entries()) {
        const { scores, winner, tied, selectionProbability, crossEntropySelectionProbability } = plain[k]!;
        expect(t).toMatchObject({ winner, tied, scores, selectionProbability, crossEntropySelectionProbability });
        expect(t.worstOpponent).toEqual(plain[k]!.worstOpponent);
        for (const [i, e] of t.scoreEstimates.entries()) {
          // The exact part allows for hits that the generations did not show.
          expect(e.upper).toBeCloseTo(plain[k]!.scoreEstimates[i]!.upper, 12);
          expect(e.lower).toBeLessThanOrEqual(plain[k]!.scoreEstimates[i]!.lower + 1e-12);
        }
      }
    }
  });

  test('progress, and cancellation within 50 ms', async () => {
    const random = testRandom(5);
    const [models, n, G] = [8, 2000, 2000];
    const table = (length: number) => Float64Array.from({ length }, () => -6 * random.uniform());
    const onPolicy = { logProbs: table(models * G), offsets: ones(models + 1).map((_, i) => (i * G) / models) };
    const input = { logProbs: table(models * n), models, N: 2, onPolicy, bootstrap: 200 };
    const seen: number[] = [];
    await tournament({ ...input, onProgress: (fraction) => seen.push(fraction) });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(1);
    // The quickest of three: the machine may be busy with other things.
    const waits: number[] = [];
    for (let attempt = 0; attempt < 3; attempt++) {
      const controller = new AbortController();
      let stopped = 0;
      const onProgress = (fraction: number) => {
        if (fraction <= 0.1 || controller.signal.aborted) return;
        stopped = performance.now();
        controller.abort(new Error('enough'));
      };
      await expect(tournament({ ...input, signal: controller.signal, onProgress })).rejects.toThrow('enough');
      waits.push(performance.now() - stopped);
    }
    expect(Math.min(...waits)).toBeLessThan(50);
  });

  test('bad input', async () => {
    const onPolicy = { logProbs: new Float64Array(8), offsets: [0, 2, 4] };
    const good = { logProbs: Float64Array.of(-1, -2, -3, -4), models: 2, N: 2 };
    for (const [change, code, place] of [
      [{ logProbs: [0] }, 'ERR_COVN_DTYPE', 'onPolicy.logProbs'],
      [{ logProbs: new Float64Array(7) }, 'ERR_COVN_SHAPE', 'onPolicy.logProbs'],
      [{ logProbs: new Float64Array(8).fill(Number.NaN, 5) }, 'ERR_COVN_NON_FINITE', 'model 1, generation 1'],
      [{ logProbs: new Float64Array(8).fill(-Infinity, 6) }, 'ERR_COVN_NON_FINITE', 'generation 2, which model 1 drew'],
      [{ offsets: [0, 4] }, 'ERR_COVN_SHAPE', 'offsets'],
      [{ offsets: [0, 4, 4] }, 'ERR_COVN_RANGE', 'none of model 1'],
      [{ offsets: [0, 1, 3] }, 'ERR_COVN_SHAPE', 'offsets'],
      [{ exponent: -1 }, 'ERR_COVN_RANGE', 'exponent'],
      [{ exponent: 2000 }, 'ERR_COVN_RANGE', 'exponent'],
      [{ clusters: ['a'] }, 'ERR_COVN_SHAPE', 'clusters'],
      [{ clusters: ['a', 'a', 'b', 'c'] }, 'ERR_COVN_RANGE', 'clusters of model 0'],
      [{ a: 1 }, 'ERR_COVN_DTYPE', 'onPolicy'],
    ] as const) {
      const error = await tournament({ ...good, onPolicy: { ...onPolicy, ...change } } as never).catch((e: Error) => e);
      expect(error).toMatchObject({ code, message: expect.stringContaining(place) });
    }
  });
});

/** One-token responses to prompts whose distributions are given: [prompts][tokens]. */
const categorical = (rows: number[][]) =>
  new TabularModel({
    vocab: rows[0]!.length,
    logProbs: Float64Array.from(rows.flat(), Math.log),
    next: new Int32Array(rows.flat().length).fill(-1),
    start: rows.map((_, x) => x),
  });

describe('onPolicyGenerations', () => {
  // At N = 2 the model `half` doubles pi_D on half of its responses, so that Eq. 29 holds it against pi_D; the model
  // `lacking`, which nearly never says the last token (Cov_2 = 1/4), has no worse opponent than pi_D. What pi_D itself
  // generates shows that half of the gap is no fault of its own (Eq. 32).
  test('Eq. 32 picks a model with Cov_N = 0 where Eq. 29 at the same constant N does not', async () => {
    const e = 1e-6;
    const data = categorical([[0.25, 0.25, 0.25, 0.25]]);
    const half = categorical([[0.5, 0.5, 0, 0]]);
    const lacking = categorical([[(1 - e) / 3, (1 - e) / 3, (1 - e) / 3, e]]);
    const models = [lacking, data, half];
    const responses = await data.sample([0], { N: 2000, seed: 9 });
    const rows = await Promise.all(models.map((model) => model.logProb(responses)));
    const logProbs = Float64Array.from(rows.flatMap((row) => [...row]));
    const onPolicy = await onPolicyGenerations(models, [0], { N: 2000, seed: 100 });
    expect(onPolicy.clusters).toBeUndefined();
    const input = { logProbs, models: 3, N: 2, bootstrap: 200 };
    // The shares 1/4 and 1/2 are 11 standard errors from changing places: false alarm below 1e-20.
    expect((await tournament(input)).winner).toBe(0);
    for (const exponent of [0, 1]) {
      const t = await tournament({ ...input, onPolicy: { ...onPolicy, exponent } });
      expect(t.winner).toBe(1);
      expect(t.scores[1]).toBe(0);
      expect(t.scores[0]).toBeGreaterThan(0.2);
      expect(t.selectionProbability[1]).toBe(1);
    }
  });

  test('draws from each model, independently, and scores under all; prompts are clusters', async () => {
    const one = categorical([
      [0.5, 0.5],
      [0.1, 0.9],
    ]);
    const two = categorical([
      [0.9, 0.1],
      [0.5, 0.5],
    ]);
    const { logProbs, offsets, clusters } = await onPolicyGenerations([one, two], [1, 0, 1], { N: 2, seed: 3 });
    expect(Array.from(offsets)).toEqual([0, 6, 12]);
    expect([...(clusters as Int32Array)]).toEqual([1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1]);
    // A prompt listed again goes on with its next samples.
    const mine = await one.sample([1, 0], { N: 4, seed: 3 });
    expect([...logProbs.subarray(0, 6)]).toEqual([0, 1, 4, 5, 2, 3].map((k) => mine.logProbs[k]!));
    const theirs = await two.sample([1, 0], { N: 4, seed: 4 });
    const scored = await one.logProb(theirs);
    expect([...logProbs.subarray(6, 12)]).toEqual([0, 1, 4, 5, 2, 3].map((k) => scored[k]!));
    const seen: number[] = [];
    await onPolicyGenerations([one, two], [0], { N: 2 }, { onProgress: (fraction) => seen.push(fraction) });
    expect(seen.at(-1)).toBe(1);
    expect(Math.max(...seen)).toBe(1);
    const aborted = AbortSignal.abort(new Error('enough'));
    await expect(onPolicyGenerations([one], [0], {}, { signal: aborted })).rejects.toThrow('enough');
    const wide = categorical([[0.2, 0.3, 0.5]]);
    for (const [call, code] of [
      [onPolicyGenerations([], [0]), 'ERR_COVN_DTYPE'],
      [onPolicyGenerations([one, wide], [0]), 'ERR_COVN_RANGE'],
      [onPolicyGenerations([one], []), 'ERR_COVN_SHAPE'],
      [onPolicyGenerations([one], [2]), 'ERR_COVN_RANGE'],
      [onPolicyGenerations([one], [0], { N: 0 }), 'ERR_COVN_RANGE'],
      [onPolicyGenerations([one], [0], { samples: [1] } as never), 'ERR_COVN_DTYPE'],
    ] as const) {
      await expect(call).rejects.toMatchObject({ code });
    }
  });
});
