import { describe, expect, test } from 'vitest';
import { devices, type HiddenInput, type LogitsDtype, scoreHidden, scoreHiddenSync } from '../lib/index.ts';
import { fromBfloat16, fromFloat16, scoreRow, testRandom, toBfloat16, toFloat16 } from './oracles/logprob.ts';

const available = devices().filter((device) => device.available && device.name !== 'cuda');
const allOutputs = { token: true, logZ: true, entropy: true, rank: true };

/** Normal numbers in a storage format, with the exact values they stand for. */
function randomNumbers(length: number, dtype: LogitsDtype, deviation: number, random: ReturnType<typeof testRandom>) {
  const values = new Float32Array(length);
  const stored = dtype === 'f32' ? values : new Uint16Array(length);
  for (let i = 0; i < length; i++) {
    const x = Math.fround(deviation * random.normal());
    stored[i] = dtype === 'f32' ? x : dtype === 'f16' ? toFloat16(x) : toBfloat16(x);
    values[i] = dtype === 'f32' ? x : dtype === 'f16' ? fromFloat16(stored[i]!) : fromBfloat16(stored[i]!);
  }
  return { values, stored };
}

/** Hidden states and weights whose logits have about this deviation, and those logits in float64. */
function randomCase(rows: number, width: number, vocab: number, dtype: LogitsDtype, deviation: number, head = {}) {
  const random = testRandom(rows + width + vocab);
  const hidden = randomNumbers(rows * width, dtype, 1, random);
  const weight = randomNumbers(vocab * width, dtype, deviation / Math.sqrt(width), random);
  const { bias, softcap } = head as Pick<HiddenInput, 'bias' | 'softcap'>;
  const logits = Array.from({ length: rows }, (_, row) =>
    Float64Array.from({ length: vocab }, (_, j) => {
      let x = bias ? bias[j]! : 0;
      for (let k = 0; k < width; k++) x += hidden.values[row * width + k]! * weight.values[j * width + k]!;
      return softcap ? softcap * Math.tanh(x / softcap) : x;
    }),
  );
  const targets = Int32Array.from({ length: rows }, () => random.integer(vocab));
  return { input: { hidden: hidden.stored, weight: weight.stored, dtype, targets, ...head }, logits };
}

describe('agreement with a float64 reference', () => {
  for (const { name } of available) {
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      test(`${name} ${dtype}`, async () => {
        for (const [rows, width, vocab, head, temperature] of [
          [1, 1, 1, {}, 1],
          [3, 2, 5, {}, 0.7],
          [33, 64, 1000, {}, 1],
          [40, 31, 385, { softcap: 2.5 }, 1],
          [7, 65, 12, { bias: Float32Array.from({ length: 12 }, (_, j) => (j % 5 ? j / 10 : -Infinity)) }, 2],
          [9, 17, 777, { bias: new Float32Array(777).fill(0.5), softcap: 30 }, 1],
          [2, 1100, 50, {}, 1],
        ] as const) {
          const { input, logits } = randomCase(rows, width, vocab, dtype, 1, head);
          const offsets = Int32Array.from({ length: rows + 1 }, (_, i) => i);
          const scores = await scoreHidden({ ...input, offsets }, { device: name, temperature, outputs: allOutputs });
          for (let row = 0; row < rows; row++) {
            const want = scoreRow(logits[row]!, input.targets[row]!, temperature);
            if (want.token === -Infinity) expect(scores.sequence[row]).toBe(-Infinity);
            else expect(Math.abs(scores.sequence[row]! - want.token)).toBeLessThanOrEqual(2e-6);
            expect(Math.abs(scores.logZ![row]! - want.logZ)).toBeLessThanOrEqual(2e-6);
            expect(Math.abs(scores.entropy![row]! - want.entropy)).toBeLessThanOrEqual(5e-6);
            // Logits that are closer than float's rounding may change places.
            const near = logits[row]!.filter((x) => Math.abs(x - logits[row]![input.targets[row]!]!) < 2e-6).length;
            expect(Math.abs(scores.rank![row]! - want.rank)).toBeLessThan(Math.max(1, near));
          }
        }
      });
    }
  }
});

describe('the same bits', () => {
  const { input } = randomCase(600, 19, 901, 'f32', 3, {});
  const offsets = [0, 0, 1, 300, 300, 599, 600];

  test('for any number of threads, and on the calling thread', async () => {
    const one = await scoreHidden({ ...input, offsets }, { threads: 1, outputs: allOutputs });
    expect(await scoreHidden({ ...input, offsets }, { threads: 2, outputs: allOutputs })).toEqual(one);
    expect(scoreHiddenSync({ ...input, offsets }, { outputs: allOutputs })).toEqual(one);
  });

  test('for any split of the batch', async () => {
    const whole = await scoreHidden({ ...input, offsets }, { outputs: allOutputs });
    for (let i = 2; i + 1 < offsets.length; i++) {
      const [begin, end] = [offsets[i]!, offsets[i + 1]!];
      const part = await scoreHidden(
        {
          ...input,
          hidden: input.hidden.slice(begin * 19, end * 19),
          targets: input.targets.slice(begin, end),
          width: 19,
        },
        { outputs: allOutputs },
      );
      expect(part.sequence[0]).toBe(whole.sequence[i]);
      expect(part.token).toEqual(whole.token!.slice(begin, end));
      expect(part.entropy).toEqual(whole.entropy!.slice(begin, end));
      expect(part.rank).toEqual(whole.rank!.slice(begin, end));
    }
  });

  test('for any ownership', async () => {
    const want = await scoreHidden(input);
    const shared = (array: Float32Array | Uint16Array) => {
      const copy = new Float32Array(new SharedArrayBuffer(array.byteLength));
      copy.set(array);
      return copy;
    };
    const borrowed = { ...input, hidden: shared(input.hidden), weight: shared(input.weight) };
    expect((await scoreHidden(borrowed, { ownership: 'borrow' })).token).toEqual(want.token);
    const given = { ...input, hidden: input.hidden.slice(), weight: input.weight.slice() };
    const back = await scoreHidden(given, { ownership: 'transfer' });
    expect(back.token).toEqual(want.token);
    expect([given.hidden.length, given.weight.length]).toEqual([0, 0]);
    expect(back.hidden).toEqual(input.hidden);
    expect(back.weight).toEqual(input.weight);
  });

  test('whatever the caller does to copied inputs meanwhile', async () => {
    const bias = new Float32Array(901);
    const mine = { ...input, hidden: input.hidden.slice(), weight: input.weight.slice(), bias };
    const running = scoreHidden(mine);
    for (const array of [mine.hidden, mine.weight, bias]) array.fill(Number.NaN);
    expect((await running).sequence).toEqual((await scoreHidden(input)).sequence);
  });
});

describe('rows', () => {
  const weight = Float32Array.of(1, 0, 0, 1, 1, 1);

  test('-1 is neither read nor scored', () => {
    const hidden = Float32Array.of(1, 2, Number.NaN, Number.NaN, 0, 0);
    const scores = scoreHiddenSync({ hidden, weight, targets: Int32Array.of(0, -1, 2) }, { outputs: allOutputs });
    expect(scores.token![1]).toBeNaN();
    expect(scores.rank).toEqual(Int32Array.of(3, 0, 1));
    expect(scores.sequence[0]).toBeCloseTo(scoreRow([1, 2, 3], 0).token - Math.log(3), 6);
  });

  test('an empty sequence has log-prob 0, and no rows need a width', () => {
    const none = { hidden: new Float32Array(0), weight, targets: new Int32Array(0) };
    expect(scoreHiddenSync({ ...none, width: 2, offsets: [0, 0] }).sequence).toEqual(Float64Array.of(0));
    expect(() => scoreHiddenSync(none)).toThrow(/width/);
  });

  for (const [what, row, text] of [
    ['NaN', [Number.NaN, 0], 'NaN'],
    ['+inf', [Number.POSITIVE_INFINITY, 1], '+inf'],
    ['all -inf', [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY], '-inf in every column'],
  ] as const) {
    test(`${what} is an error that names the row, or is flagged`, async () => {
      const input = {
        hidden: Float32Array.from([1, 2, ...row, 1, 2]),
        weight: Float32Array.of(1, 0.5, 0.25, 1, 1, 1),
        targets: new Int32Array(3),
      };
      const error = await scoreHidden(input).catch((e) => e);
      expect(error).toMatchObject({ name: 'CovnError', code: 'ERR_COVN_NON_FINITE' });
      expect(error.message).toContain('row 1 ');
      expect(error.message).toContain(text);
      const flagged = await scoreHidden({ ...input, offsets: [0, 1, 2, 3] }, { nonFinite: 'propagate' });
      expect(flagged.nonFiniteRows).toEqual(Float64Array.of(1));
      expect(flagged.token![1]).toBeNaN();
      expect(flagged.sequence[0]).toBe(flagged.sequence[2]);
    });
  }

  test('transferred arrays come back with the error', async () => {
    const input = { hidden: Float32Array.of(Number.NaN), weight: Float32Array.of(1, 2), targets: new Int32Array(1) };
    const error = await scoreHidden(input, { ownership: 'transfer' }).catch((e) => e);
    expect(error.returned).toEqual({ hidden: Float32Array.of(Number.NaN), weight: Float32Array.of(1, 2) });
    const buffer = new ArrayBuffer(16);
    const one = {
      hidden: new Float32Array(buffer, 0, 2),
      weight: new Float32Array(buffer, 8),
      targets: new Int32Array(1),
    };
    await expect(scoreHidden(one, { ownership: 'transfer' })).rejects.toMatchObject({ code: 'ERR_COVN_DTYPE' });
    expect(buffer.byteLength).toBe(16);
  });

  test('a signal cancels', async () => {
    const { input } = randomCase(64, 32, 64, 'f32', 1);
    const reason = new Error('enough');
    await expect(scoreHidden(input, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const running = scoreHidden(
      { hidden: new Float32Array(512 * 512), weight: new Float32Array(20000 * 512), targets: new Int32Array(512) },
      { signal: controller.signal, device: 'scalar' },
    );
    controller.abort(reason);
    await expect(running).rejects.toBe(reason);
  });
});

describe('bad input', () => {
  const good = { hidden: new Float32Array(6), weight: new Float32Array(12), targets: Int32Array.of(0, 2) };
  const cases: [string, object, object, string, string][] = [
    ['no hidden states', { ...good, hidden: undefined }, {}, 'ERR_COVN_DTYPE', 'hidden'],
    ['no weights', { ...good, weight: undefined }, {}, 'ERR_COVN_DTYPE', 'weight'],
    ['float64 weights', { ...good, weight: new Float64Array(12) }, {}, 'ERR_COVN_DTYPE', 'weight'],
    ['halves without dtype', { ...good, hidden: new Uint16Array(6) }, {}, 'ERR_COVN_DTYPE', 'dtype'],
    ['two storage formats', { ...good, weight: new Uint16Array(12) }, {}, 'ERR_COVN_DTYPE', 'weight'],
    ['hidden states that rows do not divide', { ...good, hidden: new Float32Array(7) }, {}, 'ERR_COVN_SHAPE', 'hidden'],
    ['weights that width does not divide', { ...good, weight: new Float32Array(13) }, {}, 'ERR_COVN_SHAPE', 'weight'],
    ['no weights at all', { ...good, weight: new Float32Array(0) }, {}, 'ERR_COVN_SHAPE', 'weight'],
    ['a width that does not fit', { ...good, width: 4 }, {}, 'ERR_COVN_SHAPE', 'hidden'],
    ['width 0', { ...good, width: 0 }, {}, 'ERR_COVN_RANGE', 'width'],
    ['a short bias', { ...good, bias: new Float32Array(3) }, {}, 'ERR_COVN_SHAPE', 'bias'],
    ['a plain bias', { ...good, bias: [0, 0, 0, 0] }, {}, 'ERR_COVN_DTYPE', 'bias'],
    ['soft-cap 0', { ...good, softcap: 0 }, {}, 'ERR_COVN_RANGE', 'softcap'],
    ['soft-cap NaN', { ...good, softcap: Number.NaN }, {}, 'ERR_COVN_RANGE', 'softcap'],
    ['plain targets', { ...good, targets: [0, 1] }, {}, 'ERR_COVN_DTYPE', 'targets'],
    ['a target past the vocabulary', { ...good, targets: Int32Array.of(0, 4) }, {}, 'ERR_COVN_RANGE', 'targets[1]'],
    ['offsets that end early', { ...good, offsets: [0, 1] }, {}, 'ERR_COVN_SHAPE', 'offsets'],
    ['an unknown key', { ...good, vocab: 4 }, {}, 'ERR_COVN_DTYPE', 'vocab'],
    ['an unknown option', good, { temprature: 1 }, 'ERR_COVN_DTYPE', 'temprature'],
    ['borrowing what is not shared', good, { ownership: 'borrow' }, 'ERR_COVN_DTYPE', 'hidden'],
  ];
  for (const [what, input, options, code, place] of cases) {
    test(what, async () => {
      const error = await scoreHidden(input as never, options as never).catch((e) => e);
      expect(error).toMatchObject({ code });
      expect(error.message).toContain(place);
      expect(error.message).toMatch(/^Expected .+ for .+ but received /);
    });
  }
});
