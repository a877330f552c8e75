import { describe, expect, test } from 'vitest';
import { devices, type LogitsDtype, scoreLogits, scoreLogitsSync, sumTokens } from '../lib/index.ts';
import { fromBfloat16, fromFloat16, Neumaier, scoreRow, testRandom, toBfloat16, toFloat16 } from './oracles/logprob.ts';

const available = devices().filter((device) => device.available && device.name !== 'cuda');
const allOutputs = { token: true, logZ: true, entropy: true, rank: true };

/** Logits in a storage format, with the exact values they stand for. */
function randomLogits(rows: number, vocab: number, dtype: LogitsDtype, deviation: number, seed: number) {
  const random = testRandom(seed);
  const values = new Float32Array(rows * vocab);
  const logits = dtype === 'f32' ? values : new Uint16Array(rows * vocab);
  for (let i = 0; i < values.length; i++) {
    const x = Math.fround(deviation * random.normal());
    if (dtype === 'f32') logits[i] = x;
    else logits[i] = dtype === 'f16' ? toFloat16(x) : toBfloat16(x);
    values[i] = dtype === 'f32' ? x : dtype === 'f16' ? fromFloat16(logits[i]!) : fromBfloat16(logits[i]!);
  }
  const targets = Int32Array.from({ length: rows }, () => random.integer(vocab));
  return { logits, values, targets, dtype, vocab };
}

describe('agreement with a float64 reference', () => {
  for (const { name } of available) {
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      test(`${name} ${dtype}`, async () => {
        for (const vocab of [1, 2, 7, 33, 1000, 32001, 128256]) {
          for (const [deviation, temperature] of [
            [5, 1],
            [30, 1],
            [5, 0.6],
            [5, 2.5],
          ] as const) {
            const rows = vocab > 10000 ? 3 : 30;
            const { values, ...input } = randomLogits(rows, vocab, dtype, deviation, vocab + deviation);
            // One response a row: its float64 sum is the token's log-prob before rounding.
            const offsets = Int32Array.from({ length: rows + 1 }, (_, i) => i);
            const scores = await scoreLogits({ ...input, offsets }, { device: name, temperature, outputs: allOutputs });
            const bound = deviation > 5 || temperature < 1 ? 2e-6 : 1e-6;
            for (let row = 0; row < rows; row++) {
              const want = scoreRow(values.subarray(row * vocab, (row + 1) * vocab), input.targets[row]!, temperature);
              expect(Math.abs(scores.sequence[row]! - want.token)).toBeLessThanOrEqual(bound);
              expect(scores.token![row]).toBe(Math.fround(scores.sequence[row]!));
              expect(Math.abs(scores.logZ![row]! - want.logZ)).toBeLessThanOrEqual(bound);
              expect(Math.abs(scores.entropy![row]! - want.entropy)).toBeLessThanOrEqual(2e-6);
              expect(scores.rank![row]).toBe(want.rank);
            }
          }
        }
      });
    }
  }

  test('a sequence of 1,000,000 tokens is within 0.01 nats', async () => {
    const vocab = 33;
    const rows = 1_000_000;
    const { values, ...input } = randomLogits(rows, vocab, 'f32', 5, 99);
    const total = new Neumaier();
    for (let row = 0; row < rows; row++) {
      total.add(scoreRow(values.subarray(row * vocab, (row + 1) * vocab), input.targets[row]!).token);
    }
    for (const { name } of available) {
      const { sequence } = await scoreLogits(input, { device: name, outputs: { token: false } });
      expect(Math.abs(sequence[0]! - total.total())).toBeLessThan(0.01);
    }
  });
});

describe('the same bits', () => {
  const { values: _, ...input } = randomLogits(2000, 301, 'f32', 5, 7);
  const offsets = [0, 0, 1, 700, 700, 1999, 2000];

  test('for any number of threads, repeated', async () => {
    const one = await scoreLogits({ ...input, offsets }, { threads: 1, outputs: allOutputs });
    for (let repeat = 0; repeat < 5; repeat++) {
      const two = await scoreLogits({ ...input, offsets }, { threads: 2, outputs: allOutputs });
      expect(two).toEqual(one);
    }
    expect(scoreLogitsSync({ ...input, offsets }, { outputs: allOutputs })).toEqual(one);
  });

  test('in arrays of the caller', async () => {
    const scores = scoreLogitsSync({ ...input, offsets }, { outputs: allOutputs });
    const shared = (bytes: number) => new SharedArrayBuffer(2000 * bytes);
    const token = new Float32Array(shared(4));
    const logZ = new Float64Array(shared(8));
    const entropy = new Float32Array(shared(4));
    const rank = new Int32Array(shared(4));
    const written = await scoreLogits({ ...input, offsets }, { outputs: { token, logZ, entropy, rank } });
    expect(written).toEqual(scores);
    expect(written.token).toBe(token);
    expect(written.rank).toBe(rank);
    const own = new Float32Array(2000);
    expect(scoreLogitsSync({ ...input, offsets }, { outputs: { token: own } }).token).toBe(own);
    // Logits are read where they lie while outputs are written.
    const inside = new Float32Array(new SharedArrayBuffer(4 * 6), 0, 2);
    const two = { logits: new Float32Array(inside.buffer), vocab: 3, targets: Int32Array.of(0, 1) };
    expect(() => scoreLogitsSync(two, { outputs: { token: inside } })).toThrow(/does not read for outputs.token/);
    const borrowing = { ownership: 'borrow' as const, outputs: { token: inside } };
    await expect(scoreLogits(two, borrowing)).rejects.toThrow(/does not read for outputs.token/);
    await expect(scoreLogits(two, { outputs: { token: inside } })).resolves.toBeDefined();
    expect(own).toEqual(scores.token);
  });

  test('for any split of the batch', async () => {
    const whole = await scoreLogits({ ...input, offsets }, { outputs: allOutputs });
    for (let i = 0; i + 1 < offsets.length; i++) {
      const [begin, end] = [offsets[i]!, offsets[i + 1]!];
      const part = await scoreLogits(
        {
          logits: input.logits.slice(begin * 301, end * 301) as Float32Array,
          vocab: 301,
          targets: input.targets.slice(begin, end),
        },
        { outputs: allOutputs },
      );
      expect(part.sequence[0]).toBe(whole.sequence[i]);
      expect(part.token).toEqual(whole.token!.slice(begin, end));
      expect(part.entropy).toEqual(whole.entropy!.slice(begin, end));
    }
  });

  test('for any ownership', async () => {
    const want = await scoreLogits(input);
    const shared = new Float32Array(new SharedArrayBuffer(input.logits.byteLength));
    shared.set(input.logits);
    expect((await scoreLogits({ ...input, logits: shared }, { ownership: 'borrow' })).sequence).toEqual(want.sequence);
    const given = input.logits.slice() as Float32Array;
    const { logits, sequence } = await scoreLogits({ ...input, logits: given }, { ownership: 'transfer' });
    expect(sequence).toEqual(want.sequence);
    expect(given.length).toBe(0);
    expect(logits).toEqual(input.logits);
  });

  test('logits and targets may lie in one buffer', async () => {
    const buffer = new ArrayBuffer(40);
    const logits = new Float32Array(buffer, 0, 8);
    logits.set([1, 2, 3, 4, 4, 3, 2, 1]);
    const targets = new Int32Array(buffer, 32, 2);
    targets.set([3, 0]);
    const scores = await scoreLogits({ logits, vocab: 4, targets }, { ownership: 'transfer' });
    expect(scores.sequence[0]).toBeCloseTo(2 * scoreRow([1, 2, 3, 4], 3).token, 6);
    expect(scores.logits!.buffer.byteLength).toBe(40);
  });

  test('whatever the caller does to a copied input meanwhile', async () => {
    const mine = { ...input, logits: input.logits.slice() as Float32Array, targets: input.targets.slice() };
    const running = scoreLogits(mine);
    mine.logits.fill(Number.NaN);
    mine.targets.fill(0);
    expect((await running).sequence).toEqual((await scoreLogits(input)).sequence);
  });
});

describe('rows', () => {
  test('longer than 2^18 logits are read in segments', async () => {
    // Segments of 2^16: a last one of one logit, of 128, of a whole segment.
    for (const vocab of [2 ** 18 + 1, 2 ** 18 + 128, 2 ** 18 + 2 ** 16]) {
      const { values, ...input } = randomLogits(3, vocab, 'f32', 5, vocab);
      const options = { outputs: allOutputs, threads: 1 };
      const scores = await scoreLogits(input, options);
      for (let row = 0; row < 3; row++) {
        const want = scoreRow(values.subarray(row * vocab, (row + 1) * vocab), input.targets[row]!, 1);
        expect(Math.abs(scores.logZ![row]! - want.logZ)).toBeLessThan(1e-6);
        expect(scores.rank![row]).toBe(want.rank);
      }
      expect(await scoreLogits(input, { ...options, threads: 2 })).toEqual(scores);
      // The lowest bad row is named, though its target is good.
      input.logits[7] = Number.NaN;
      input.targets[2] = -5;
      await expect(scoreLogits(input, options)).rejects.toThrow(/row 0 of logits/);
    }
  });

  test('-1 is neither read nor scored', () => {
    const logits = Float32Array.of(1, 2, 3, Number.NaN, Number.NaN, Number.NaN, 0, 0, 0);
    const scores = scoreLogitsSync({ logits, vocab: 3, targets: Int32Array.of(0, -1, 2) }, { outputs: allOutputs });
    expect(scores.token![1]).toBeNaN();
    expect(scores.rank![1]).toBe(0);
    expect(scores.sequence[0]).toBeCloseTo(scoreRow([1, 2, 3], 0).token - Math.log(3), 6);
  });

  test('an empty sequence has log-prob 0', () => {
    const none = { logits: new Float32Array(0), vocab: 5, targets: new Int32Array(0) };
    expect(scoreLogitsSync(none).sequence).toEqual(Float64Array.of(0));
    expect(scoreLogitsSync({ ...none, offsets: [0] }).sequence).toEqual(new Float64Array(0));
    expect(scoreLogitsSync({ ...none, offsets: [0, 0, 0] }).sequence).toEqual(new Float64Array(2));
  });

  test('a -inf target is -inf, and -inf entries are fine', () => {
    const logits = Float32Array.of(Number.NEGATIVE_INFINITY, 0, 0, Number.NEGATIVE_INFINITY);
    const input = { logits, vocab: 2, targets: Int32Array.of(0, 0) };
    const { sequence, token } = scoreLogitsSync({ ...input, offsets: [0, 1, 2] });
    expect(sequence).toEqual(Float64Array.of(Number.NEGATIVE_INFINITY, 0));
    expect(token).toEqual(Float32Array.of(Number.NEGATIVE_INFINITY, 0));
  });

  test('a vocabulary of one gives 0 exactly', () => {
    const { sequence } = scoreLogitsSync({ logits: Float32Array.of(1e30, -3), vocab: 1, targets: new Int32Array(2) });
    expect(sequence[0]).toBe(0);
  });

  for (const [what, bad, text] of [
    ['NaN', [0, Number.NaN, 0], 'NaN at column 1'],
    ['+inf', [0, 0, Number.POSITIVE_INFINITY], '+inf at column 2'],
    ['all -inf', Array(3).fill(Number.NEGATIVE_INFINITY), '-inf in every column'],
  ] as const) {
    test(`${what} is an error that names the row, or is flagged`, async () => {
      const input = { logits: Float32Array.from([1, 2, 3, ...bad, 1, 2, 3]), vocab: 3, targets: new Int32Array(3) };
      const error = await scoreLogits(input).catch((e) => e);
      expect(error).toMatchObject({ name: 'CovnError', code: 'ERR_COVN_NON_FINITE' });
      expect(error.message).toContain('row 1 ');
      expect(error.message).toContain(text);
      const flagged = await scoreLogits({ ...input, offsets: [0, 1, 2, 3] }, { nonFinite: 'propagate' });
      expect(flagged.nonFiniteRows).toEqual(Float64Array.of(1));
      expect(flagged.token![1]).toBeNaN();
      expect(flagged.sequence[1]).toBeNaN();
      expect(flagged.sequence[0]).toBe(flagged.sequence[2]);
    });
  }

  test('a transferred buffer comes back with the error', async () => {
    const logits = Float32Array.of(0, Number.NaN);
    const error = await scoreLogits({ logits, vocab: 2, targets: new Int32Array(1) }, { ownership: 'transfer' }).catch(
      (e) => e,
    );
    expect(error.returned.logits).toEqual(Float32Array.of(0, Number.NaN));
  });
});

describe('sumTokens', () => {
  test('sums each response as scoreLogits does', () => {
    const random = testRandom(5);
    const tokens = Float64Array.from({ length: 5000 }, () => -random.uniform() * 20);
    const offsets = [0, 10, 10, 2500, 5000];
    const sums = sumTokens(tokens, offsets);
    for (let i = 0; i < 4; i++) {
      const exact = new Neumaier();
      for (const token of tokens.subarray(offsets[i], offsets[i + 1])) exact.add(token);
      expect(Math.abs(sums[i]! - exact.total())).toBeLessThan(1e-10);
    }
    expect(sumTokens(Float32Array.of(-1, Number.NaN), [0, 1, 2])).toEqual(Float64Array.of(-1, Number.NaN));
  });

  test('refuses what does not fit', () => {
    expect(() => sumTokens([1] as unknown as Float32Array, [0, 1])).toThrow(TypeError);
    expect(() => sumTokens(new Float32Array(3), [0, 2])).toThrow(expect.objectContaining({ code: 'ERR_COVN_SHAPE' }));
    expect(() => sumTokens(new Float32Array(3), [0, 2, 1, 3])).toThrow(
      expect.objectContaining({ code: 'ERR_COVN_RANGE' }),
    );
  });
});

describe('bad input', () => {
  const good = { logits: new Float32Array(6), vocab: 3, targets: Int32Array.of(0, 2) };
  const shared = <A>(type: new (buffer: SharedArrayBuffer) => A) => new type(new SharedArrayBuffer(8));
  const twice = shared(Float32Array);
  const lying = Object.defineProperty(new Float32Array(2), 'buffer', { value: new SharedArrayBuffer(8) });
  const cases: [string, object, object, string, string][] = [
    ['no logits', { ...good, logits: undefined }, {}, 'ERR_COVN_DTYPE', 'logits'],
    ['float64 logits', { ...good, logits: new Float64Array(6) }, {}, 'ERR_COVN_DTYPE', 'logits'],
    ['halves without dtype', { ...good, logits: new Uint16Array(6) }, {}, 'ERR_COVN_DTYPE', 'dtype'],
    ['a dtype that is not the array', { ...good, dtype: 'bf16' }, {}, 'ERR_COVN_DTYPE', 'dtype'],
    ['too few logits', { ...good, logits: new Float32Array(5) }, {}, 'ERR_COVN_SHAPE', 'logits'],
    ['vocab 0', { ...good, vocab: 0 }, {}, 'ERR_COVN_RANGE', 'vocab'],
    ['vocab 1.5', { ...good, vocab: 1.5 }, {}, 'ERR_COVN_RANGE', 'vocab'],
    ['vocab as text', { ...good, vocab: '3' }, {}, 'ERR_COVN_DTYPE', 'vocab'],
    ['plain targets', { ...good, targets: [0, 1] }, {}, 'ERR_COVN_DTYPE', 'targets'],
    ['a target past the vocabulary', { ...good, targets: Int32Array.of(0, 3) }, {}, 'ERR_COVN_RANGE', 'targets[1]'],
    ['a target below -1', { ...good, targets: Int32Array.of(-2, 0) }, {}, 'ERR_COVN_RANGE', 'targets[0]'],
    ['falling offsets', { ...good, offsets: [0, 2, 1, 2] }, {}, 'ERR_COVN_RANGE', 'offsets[2]'],
    ['offsets that start late', { ...good, offsets: [1, 2] }, {}, 'ERR_COVN_RANGE', 'offsets[0]'],
    ['offsets that end early', { ...good, offsets: [0, 1] }, {}, 'ERR_COVN_SHAPE', 'offsets'],
    ['offsets of NaN', { ...good, offsets: [0, Number.NaN, 2] }, {}, 'ERR_COVN_RANGE', 'offsets[1]'],
    ['temperature 0', good, { temperature: 0 }, 'ERR_COVN_RANGE', 'temperature'],
    ['temperature NaN', good, { temperature: Number.NaN }, 'ERR_COVN_RANGE', 'temperature'],
    ['an unknown device', good, { device: 'tpu' }, 'ERR_COVN_DTYPE', 'device'],
    ['a device that is not there', good, { device: 'cuda' }, 'ERR_COVN_DEVICE', 'cuda'],
    ['an unknown option', good, { temprature: 1 }, 'ERR_COVN_DTYPE', 'temprature'],
    ['an unknown output', good, { outputs: { tokens: true } }, 'ERR_COVN_DTYPE', 'tokens'],
    ['an output array of another type', good, { outputs: { logZ: shared(Float32Array) } }, 'ERR_COVN_DTYPE', 'logZ'],
    ['a short output array', good, { outputs: { rank: shared(Int32Array).subarray(1) } }, 'ERR_COVN_SHAPE', 'rank'],
    ['outputs over one another', good, { outputs: { token: twice, entropy: twice } }, 'ERR_COVN_DTYPE', 'entropy'],
    ['an output that says it is shared', good, { outputs: { token: lying } }, 'ERR_COVN_DTYPE', 'token'],
    ['an output that is not shared', good, { outputs: { token: new Float32Array(2) } }, 'ERR_COVN_DTYPE', 'token'],
    ['an unknown nonFinite', good, { nonFinite: 'ignore' }, 'ERR_COVN_DTYPE', 'nonFinite'],
    ['threads 0', good, { threads: 0 }, 'ERR_COVN_RANGE', 'threads'],
    ['borrowing what is not shared', good, { ownership: 'borrow' }, 'ERR_COVN_DTYPE', 'logits'],
    ['an unknown ownership', good, { ownership: 'steal' }, 'ERR_COVN_DTYPE', 'ownership'],
    ['a signal that is none', good, { signal: {} }, 'ERR_COVN_DTYPE', 'signal'],
  ];
  for (const [what, input, options, code, place] of cases) {
    test(what, async () => {
      const error = await scoreLogits(input as never, options as never).catch((e) => e);
      expect(error).toMatchObject({ code });
      expect(error.message).toContain(place);
      expect(error.message).toMatch(/^Expected .+ for .+ but received /);
      expect(good.logits.length).toBe(6);
    });
  }
});
