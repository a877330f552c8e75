import { expect, test } from 'vitest';
import { type HiddenInput, type LogitsDtype, type ScoreOptions, scoreHidden, scoreHiddenSync } from '../lib/index.ts';
import { testRandom, toBfloat16, toFloat16 } from './oracles/logprob.ts';
import { describeEmulated, expectClose, outcome } from './support/emulated.ts';

const outputs = { token: true, logZ: true, entropy: true, rank: true };

function numbers(count: number, dtype: LogitsDtype, seed: number) {
  const random = testRandom(seed);
  const values = Float32Array.from({ length: count }, () => random.normal());
  return dtype === 'f32' ? values : Uint16Array.from(values, dtype === 'f16' ? toFloat16 : toBfloat16);
}

function input(rows: number, width: number, vocab: number, dtype: LogitsDtype = 'f32'): HiddenInput {
  return {
    hidden: numbers(rows * width, dtype, rows),
    weight: numbers(vocab * width, dtype, vocab),
    dtype,
    bias: Float32Array.from({ length: vocab }, (_, j) => (j % 7) / 7),
    targets: Int32Array.from({ length: rows }, (_, row) => (row % 4 === 3 ? -1 : (row * 31) % vocab)),
    offsets: [0, 1, rows],
  };
}

describeEmulated('scoreHidden', () => {
  test.each<[LogitsDtype, number, number, number]>([
    ['f32', 5, 24, 130],
    ['f32', 3, 300, 40],
    ['f16', 5, 64, 200],
    ['bf16', 17, 96, 300],
    ['bf16', 2, 40, 33],
  ])('%s [%i, %i] by %i tokens is as on the CPU', async (dtype, rows, width, vocab) => {
    const tokens = input(rows, width, vocab, dtype);
    const options = { outputs, temperature: 1.3 };
    const found = await scoreHidden({ ...tokens, softcap: 30 }, { ...options, device: 'cuda' });
    const wanted = await scoreHidden({ ...tokens, softcap: 30 }, options);
    expect(found.device).toBe('cuda (emulated)');
    // Sums of products in other orders: about 1e-7 sqrt(width) of a logit, which is some 30 at most.
    expectClose(found.token!, wanted.token!, 5e-5);
    expectClose(found.logZ!, wanted.logZ!, 5e-5);
    expectClose(found.entropy!, wanted.entropy!, 5e-5);
    expectClose(found.sequence, wanted.sequence, 5e-5 * rows);
    expect(found.rank).toEqual(wanted.rank);
  });

  test.each<[string, object, ScoreOptions]>([
    ['a NaN', { hidden: new Float32Array(8).fill(Number.NaN) }, {}],
    [
      'a NaN in the weights of one token',
      { weight: Float32Array.from({ length: 12 }, (_, i) => (i === 5 ? Number.NaN : i)) },
      {},
    ],
    [
      '+inf in the weights',
      { hidden: new Float32Array(8).fill(1), weight: new Float32Array(12).fill(Infinity, 4, 5) },
      {},
    ],
    ['a target out of range', { targets: Int32Array.of(0, 9) }, {}],
    ['a weight of another shape', { weight: new Float32Array(11) }, {}],
  ])('%s is the same error as on the CPU', async (_, change, options) => {
    const good = { hidden: new Float32Array(8), weight: new Float32Array(12), targets: Int32Array.of(0, 1) };
    const on = (device: 'cpu' | 'cuda') => outcome(scoreHidden({ ...good, ...change }, { ...options, device }));
    const wanted = await on('cpu');
    expect(wanted).toMatchObject({ code: expect.stringMatching(/^ERR_COVN_/) });
    expect(await on('cuda')).toEqual(wanted);
  });

  test('the synchronous call has no CUDA path', () => {
    expect(() => scoreHiddenSync(input(2, 3, 4), { device: 'cuda' })).toThrow('no CUDA path');
  });
});
