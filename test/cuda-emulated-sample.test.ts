/** sampleLogits on the emulated CUDA device. */

import { expect, test } from 'vitest';
import {
  type LogitsDtype,
  rollout,
  type SampleInput,
  type SampleOptions,
  type Step,
  sampleLogits,
  scoreLogits,
} from '../lib/index.ts';
import { testRandom, toBfloat16, toFloat16 } from './oracles/logprob.ts';
import { describeEmulated, outcome } from './support/emulated.ts';

function input(rows: number, vocab: number, dtype: LogitsDtype = 'f32'): SampleInput & { dtype: LogitsDtype } {
  const random = testRandom(rows * vocab);
  const values = Float32Array.from({ length: rows * vocab }, () => 3 * random.normal());
  const logits = dtype === 'f32' ? values : Uint16Array.from(values, dtype === 'f16' ? toFloat16 : toBfloat16);
  return { logits, dtype, vocab };
}

describeEmulated('sampleLogits', () => {
  test.each<[LogitsDtype, number, number, SampleOptions]>([
    ['f32', 5, 7, { N: 300 }],
    ['f32', 3, 6001, { N: 1, sequence: 9, position: 4, firstSample: 2 }],
    ['f32', 2, 3000, { N: 200, temperature: 0.6, minP: 1e-4, topK: 50, topP: 0.9 }],
    ['f16', 4, 700, { N: 40, topP: 0.8 }],
    ['bf16', 2, 40000, { N: 100, seed: 2 ** 40 + 5, temperature: 1.5 }],
  ])('%s [%i, %i] draws the tokens of the CPU', async (dtype, rows, vocab, options) => {
    const rowsOf = input(rows, vocab, dtype);
    const found = await sampleLogits(rowsOf, { ...options, device: 'cuda' });
    const wanted = await sampleLogits(rowsOf, options);
    expect(found.device).toBe('cuda (emulated)');
    expect(found.ids).toEqual(wanted.ids);
    for (const kind of ['logProb', 'processedLogProb'] as const) {
      found[kind].forEach((value, i) => {
        expect(Math.abs(value - wanted[kind][i]!)).toBeLessThanOrEqual(3e-6 + 2 ** -22 * Math.abs(value));
      });
    }
    const first = Int32Array.from({ length: rows }, (_, row) => found.ids[row * (options.N ?? 1)]!);
    const scores = await scoreLogits({ ...rowsOf, targets: first }, { outputs: { token: true }, device: 'cuda' });
    first.forEach((_, row) => {
      expect(found.logProb[row * (options.N ?? 1)]).toBe(scores.token![row]);
    });
  });

  test('gives transferred logits back, and writes into arrays of the caller', async () => {
    const rowsOf = input(3, 50);
    const wanted = await sampleLogits(rowsOf, { N: 4 });
    const shared = (bytes: number) => new SharedArrayBuffer(bytes);
    const outputs = { ids: new Int32Array(shared(48)), logProb: new Float32Array(shared(48)) };
    const copy = rowsOf.logits.slice() as Float32Array;
    const found = await sampleLogits(
      { ...rowsOf, logits: copy },
      { N: 4, device: 'cuda', ownership: 'transfer', outputs },
    );
    expect(copy.length).toBe(0);
    expect(found.logits).toEqual(rowsOf.logits);
    expect(found.ids).toBe(outputs.ids);
    expect(Array.from(outputs.ids)).toEqual(Array.from(wanted.ids));
  });

  test('errors are the same as on the CPU', async () => {
    const bad = input(4, 6);
    bad.logits[13] = Number.NaN;
    const nothing = input(2, 2000);
    (nothing.logits as Float32Array).fill(Number.NEGATIVE_INFINITY, 2000);
    for (const [given, options] of [
      [bad, {}],
      [bad, { topK: 2, temperature: 0.5 }],
      [nothing, { topP: 0.5 }],
      [input(1, 5), { topP: 0 }],
      [input(1, 5), { temperature: 1e7 }],
      [{ ...input(1, 5), vocab: 3 }, {}],
    ] as [SampleInput, SampleOptions][]) {
      const wanted = await outcome(sampleLogits(given, options));
      expect(wanted).toMatchObject({ code: expect.stringMatching(/^ERR_COVN_/) });
      expect(await outcome(sampleLogits(given, { ...options, device: 'cuda' }))).toEqual(wanted);
    }
  });

  test('ends when it is cancelled', async () => {
    const controller = new AbortController();
    const call = sampleLogits(input(200, 5000), { N: 50, device: 'cuda', signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(call).rejects.toThrow('enough');
  });

  test('draws for models outside', async () => {
    const vocab = 11;
    const step: Step = ({ lengths }) =>
      Float32Array.from({ length: lengths.length * vocab }, (_, i) =>
        Math.sin((i % vocab) * (1 + lengths[Math.floor(i / vocab)]!)),
      );
    const request = { prompts: [[1], [2, 3]], N: 5, maxLength: 4, seed: 3, stop: 7 };
    const { tokens, logProbs } = await rollout(step, request, { device: 'cuda' });
    const wanted = await rollout(step, request);
    expect(tokens).toEqual(wanted.tokens);
    logProbs.forEach((value, i) => {
      expect(value).toBeCloseTo(wanted.logProbs[i]!, 4);
    });
  });
});
