/** Models against one another on the emulated CUDA device. */

import { describe, expect, test } from 'vitest';
import { type LogitsDtype, type PairInput, pairwiseCoverage, scorePair } from '../lib/index.ts';
import { testRandom, toBfloat16, toFloat16 } from './oracles/logprob.ts';
import { describeEmulated, expectClose, outcome } from './support/emulated.ts';

function logits(count: number, dtype: LogitsDtype, seed: number) {
  const random = testRandom(seed);
  const values = Float32Array.from({ length: count }, () => 3 * random.normal());
  return dtype === 'f32' ? values : Uint16Array.from(values, dtype === 'f16' ? toFloat16 : toBfloat16);
}

function pair(rows: number, vocab: number, dtype: LogitsDtype = 'f32'): PairInput {
  return {
    reference: logits(rows * vocab, dtype, vocab),
    model: logits(rows * vocab, dtype, vocab + 1),
    dtype,
    vocab,
    targets: Int32Array.from({ length: rows }, (_, row) => (row % 4 === 3 ? -1 : (row * 31) % vocab)),
    offsets: [0, 2, rows],
  };
}

describeEmulated('scorePair', () => {
  test.each<[LogitsDtype, number, number]>([
    ['f32', 7, 5],
    ['f32', 3, 6001],
    ['f16', 5, 700],
    ['bf16', 5, 33],
    ['bf16', 3, 20000],
  ])('%s [%i, %i] is as on the CPU', async (dtype, rows, vocab) => {
    const options = { outputs: { token: true } };
    const found = await scorePair(pair(rows, vocab, dtype), { ...options, device: 'cuda' });
    const wanted = await scorePair(pair(rows, vocab, dtype), options);
    expect(found.device).toBe('cuda (emulated)');
    // Twice the tolerance of either, and the rounding to float.
    for (const name of ['logRatio', 'kl', 'hellinger'] as const) {
      expectClose(found.token![name], wanted.token![name], 4e-6);
      expectClose(found[name], wanted[name], 2e-6 * rows);
    }
  });

  test('equal logits give 0 exactly', async () => {
    const { reference, ...rest } = pair(4, 50);
    const { kl, hellinger, logRatio } = await scorePair({ ...rest, reference, model: reference }, { device: 'cuda' });
    for (const value of [...kl, ...hellinger, ...logRatio]) expect(value).toBe(0);
  });

  const good = () => ({
    reference: new Float32Array(12).fill(1),
    model: new Float32Array(12).fill(1),
    vocab: 4,
    targets: Int32Array.of(0, 1, 2),
  });
  const changed = (name: 'reference' | 'model', place: number, value: number) => {
    const input = good();
    input[name][place] = value;
    return input;
  };
  test.each<[string, PairInput]>([
    ['a NaN in the reference', changed('reference', 5, Number.NaN)],
    ['+inf in the model', changed('model', 6, Number.POSITIVE_INFINITY)],
    ['a target out of range', { ...good(), targets: Int32Array.of(0, 1, 4) }],
  ])('%s is the same error as on the CPU', async (_, input) => {
    const wanted = await outcome(scorePair(input));
    expect(wanted).toMatchObject({ code: expect.stringMatching(/^ERR_COVN_/) });
    expect(await outcome(scorePair(input, { device: 'cuda' }))).toEqual(wanted);
  });
});

describeEmulated('pairwiseCoverage', () => {
  /** Log-probs on a grid, so that thresholds are met exactly; some of them -Infinity. */
  function logProbs(models: number, n: number): Float64Array {
    const random = testRandom(models * n);
    return Float64Array.from({ length: models * n }, () =>
      random.uniform() < 0.02 ? Number.NEGATIVE_INFINITY : -random.integer(40) * Math.LN2,
    );
  }

  describe.each([
    [1, 3],
    [3, 100],
    [9, 1037],
    [20, 333],
  ])('%i models, %i responses', (models, n) => {
    test('is the CPU to the bit', async () => {
      const input = { logProbs: logProbs(models, n), models, N: [1, 2, 8, 1000] };
      const found = await pairwiseCoverage({ ...input, device: 'cuda' });
      expect(found).toEqual(await pairwiseCoverage(input));
    });
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('%d is the same error as on the CPU', async (value) => {
    const input = { logProbs: logProbs(4, 50), models: 4, N: 2 };
    input.logProbs[77] = value;
    const wanted = await outcome(pairwiseCoverage(input));
    expect(wanted).toMatchObject({ code: 'ERR_COVN_NON_FINITE' });
    expect(await outcome(pairwiseCoverage({ ...input, device: 'cuda' }))).toEqual(wanted);
  });
});
