import { describe, expect, test } from 'vitest';
import { bounds, devices, type LogitsDtype, PairScores, scoreLogits, scorePair } from '../lib/index.ts';
import { fromBfloat16, fromFloat16, testRandom, toBfloat16, toFloat16 } from './oracles/logprob.ts';
import { scorePairRow } from './oracles/pair.ts';

const available = devices().filter((device) => device.available && device.name !== 'cuda');

/** Logits of two models in a storage format, with the exact values they stand for. */
function randomPair(rows: number, vocab: number, dtype: LogitsDtype, deviation: number, seed: number) {
  const random = testRandom(seed);
  const draw = () => {
    const values = new Float32Array(rows * vocab);
    const logits = dtype === 'f32' ? values : new Uint16Array(rows * vocab);
    for (let i = 0; i < values.length; i++) {
      const x = Math.fround(deviation * random.normal());
      if (dtype === 'f32') logits[i] = x;
      else logits[i] = dtype === 'f16' ? toFloat16(x) : toBfloat16(x);
      values[i] = dtype === 'f32' ? x : dtype === 'f16' ? fromFloat16(logits[i]!) : fromBfloat16(logits[i]!);
    }
    return { values, logits };
  };
  const [reference, model] = [draw(), draw()];
  const targets = Int32Array.from({ length: rows }, () => random.integer(vocab));
  const row = (index: number, temperature = 1) => {
    const [begin, end] = [index * vocab, (index + 1) * vocab];
    const [a, b] = [reference.values.subarray(begin, end), model.values.subarray(begin, end)];
    return scorePairRow(a, b, targets[index]!, temperature);
  };
  return { input: { reference: reference.logits, model: model.logits, dtype, vocab, targets }, row };
}

const eachRow = (rows: number) => Array.from({ length: rows + 1 }, (_, i) => i);

describe('agreement with a float64 reference', () => {
  for (const { name } of available) {
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      test(`${name} ${dtype}`, async () => {
        for (const vocab of [1, 2, 7, 33, 1000, 32001]) {
          for (const [deviation, temperature] of [
            [1, 1],
            [5, 1],
            [30, 1],
            [5, 0.6],
            [5, 2.5],
          ] as const) {
            const rows = vocab > 10000 ? 3 : 30;
            const { input, row } = randomPair(rows, vocab, dtype, deviation, vocab + deviation);
            const options = { device: name, temperature, outputs: { token: true } };
            const scores = await scorePair({ ...input, offsets: eachRow(rows) }, options);
            const bound = deviation > 5 || temperature < 1 ? 2e-6 : 1e-6;
            for (let r = 0; r < rows; r++) {
              const want = row(r, temperature);
              for (const key of ['logRatio', 'kl', 'hellinger'] as const) {
                expect(Math.abs(scores[key][r]! - want[key])).toBeLessThanOrEqual(bound);
                expect(scores.token![key][r]).toBe(Math.fround(scores[key][r]!));
              }
            }
          }
        }
      });
    }
  }

  test('a Bernoulli pair (Prop D.2)', async () => {
    const [p, N] = [0.3, 50];
    const reference = Float32Array.of(Math.log(p), Math.log(1 - p));
    const model = Float32Array.of(Math.log(p / N), Math.log(1 - p / N));
    const { kl, logRatio } = await scorePair({ reference, model, vocab: 2, targets: new Int32Array(1) });
    expect(kl[0]).toBeCloseTo(p * Math.log(N) + (1 - p) * Math.log((1 - p) / (1 - p / N)), 6);
    expect(logRatio[0]).toBeCloseTo(Math.log(N), 6);
  });

  test('the log ratio is the difference of scoreLogits, whatever the offset between the models', async () => {
    const { input } = randomPair(40, 500, 'f32', 3, 5);
    const [reference, model] = [input.reference, input.model.map((x) => x + 1000)];
    const offsets = [0, 10, 10, 40];
    const common = { vocab: 500, targets: input.targets, offsets };
    const scores = await scorePair({ reference, model, ...common });
    const p = await scoreLogits({ logits: reference, ...common });
    const q = await scoreLogits({ logits: model, ...common });
    for (let i = 0; i < 3; i++) {
      expect(Math.abs(scores.logRatio[i]! - (p.sequence[i]! - q.sequence[i]!))).toBeLessThanOrEqual(1e-5);
    }
    expect(scores.kl[1]).toBe(0);
  });
});

describe('properties', () => {
  test('0 exactly for equal logits, however large', async () => {
    for (const deviation of [1, 30, 1e4]) {
      const { input } = randomPair(20, 3000, 'f32', deviation, 6);
      const scores = await scorePair({ ...input, model: input.reference });
      expect([scores.logRatio[0], scores.kl[0], scores.hellinger[0]]).toEqual([0, 0, 0]);
    }
  });

  test('D_H^2 <= KL / 2 and KL >= 0 for each token', async () => {
    for (const deviation of [1e-4, 0.1, 1, 10]) {
      const { input } = randomPair(100, 50, 'f32', deviation, 7);
      const { kl, hellinger } = await scorePair({ ...input, offsets: eachRow(100) });
      for (let i = 0; i < 100; i++) {
        expect(hellinger[i]).toBeGreaterThanOrEqual(0);
        expect(hellinger[i]).toBeLessThanOrEqual(kl[i]! / 2 + 1e-7);
      }
    }
  });

  test('-inf: 0 log 0 is 0, and what the model excludes costs everything', async () => {
    const none = Number.NEGATIVE_INFINITY;
    const reference = Float32Array.of(0, 0, none, 0, 0, 1);
    const model = Float32Array.of(0, 0, 0, 0, 0, none);
    const input = { reference, model, vocab: 3, targets: Int32Array.of(0, 2), offsets: [0, 1, 2] };
    const { kl, logRatio, hellinger } = await scorePair(input);
    expect(kl[0]).toBeCloseTo(Math.log(3 / 2), 12);
    expect([kl[1], logRatio[1]]).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
    expect(hellinger[1]).toBeCloseTo(scorePairRow([0, 0, 1], [0, 0, none], 2).hellinger, 7);
  });

  test('rows with target -1 are neither read nor scored', async () => {
    const reference = Float32Array.of(1, 2, Number.NaN, Number.NaN);
    const model = Float32Array.of(0, 2, Number.NaN, 0);
    const scores = await scorePair(
      { reference, model, vocab: 2, targets: Int32Array.of(1, -1) },
      { outputs: { token: true } },
    );
    expect(scores.kl[0]).toBeCloseTo(scorePairRow([1, 2], [0, 2], 1).kl, 7);
    expect(scores.token!.kl[1]).toBeNaN();
  });
});

describe('the same bits', () => {
  const { input } = randomPair(2000, 301, 'f32', 5, 8);
  const offsets = [0, 0, 1, 700, 700, 1999, 2000];

  test('for any number of threads, repeated', async () => {
    const one = await scorePair({ ...input, offsets }, { threads: 1, outputs: { token: true } });
    for (let repeat = 0; repeat < 5; repeat++) {
      expect(await scorePair({ ...input, offsets }, { threads: 2, outputs: { token: true } })).toEqual(one);
    }
  });

  test('for any split of the batch', async () => {
    const whole = await scorePair({ ...input, offsets });
    for (let i = 0; i + 1 < offsets.length; i++) {
      const [begin, end] = [offsets[i]!, offsets[i + 1]!];
      const part = await scorePair({
        reference: input.reference.slice(begin * 301, end * 301),
        model: input.model.slice(begin * 301, end * 301),
        vocab: 301,
        targets: input.targets.slice(begin, end),
      });
      for (const key of ['logRatio', 'kl', 'hellinger'] as const) expect(part[key][0]).toBe(whole[key][i]);
    }
  });

  test('for any ownership; a transfer hands both back', async () => {
    const want = await scorePair(input);
    const shared = (x: Float32Array | Uint16Array) => {
      const copy = new Float32Array(new SharedArrayBuffer(x.byteLength));
      copy.set(x);
      return copy;
    };
    const borrowed = { ...input, reference: shared(input.reference), model: shared(input.model) };
    expect(await scorePair(borrowed, { ownership: 'borrow' })).toEqual(want);
    const given = { ...input, reference: input.reference.slice(), model: input.model.slice() };
    const { reference, model, ...scores } = await scorePair(given, { ownership: 'transfer' });
    expect([given.reference.length, given.model.length]).toEqual([0, 0]);
    expect([reference, model]).toEqual([input.reference, input.model]);
    expect(scores.kl).toEqual(want.kl);
  });
});

describe('rows that are not finite', () => {
  for (const which of ['reference', 'model'] as const) {
    test(`an error names the row of the ${which}, or it is flagged`, async () => {
      const good = { reference: new Float32Array(9), model: new Float32Array(9), vocab: 3, targets: new Int32Array(3) };
      const input = { ...good, [which]: Float32Array.of(0, 0, 0, 0, Number.NaN, 0, 0, 0, 0) };
      const error = await scorePair(input).catch((e) => e);
      expect(error).toMatchObject({ name: 'CovnError', code: 'ERR_COVN_NON_FINITE' });
      expect(error.message).toContain(`row 1 of ${which}`);
      expect(error.message).toContain('NaN at column 1');
      const flagged = await scorePair({ ...input, offsets: [0, 1, 2, 3] }, { nonFinite: 'propagate' });
      expect(flagged.nonFiniteRows).toEqual(Float64Array.of(1));
      expect(flagged.kl).toEqual(Float64Array.of(0, Number.NaN, 0));
      expect(() => flagged.stoppedKl(8)).toThrow(expect.objectContaining({ code: 'ERR_COVN_NON_FINITE' }));
    });
  }

  test('transferred logits come back with the error', async () => {
    const bad = {
      reference: Float32Array.of(Number.NaN),
      model: new Float32Array(1),
      vocab: 1,
      targets: new Int32Array(1),
    };
    const error = await scorePair(bad, { ownership: 'transfer' }).catch((e) => e);
    expect(error.returned).toEqual({ reference: Float32Array.of(Number.NaN), model: new Float32Array(1) });
  });
});

describe('stoppedKl', () => {
  const make = (kl: number[]) => {
    const none = new Float64Array(kl.length);
    const kls = Float64Array.from(kl);
    return new PairScores({ logRatio: none, kl: kls, hellinger: none, nonFiniteRows: none, device: 'scalar' });
  };

  test('is the mean of min(log N, KL), with an interval inside [0, log N]', () => {
    const random = testRandom(9);
    const kl = Array.from({ length: 200 }, () => 4 * random.uniform());
    kl[7] = Number.POSITIVE_INFINITY;
    for (const N of [1.5, 8, 1000]) {
      const estimate = make(kl).stoppedKl(N);
      const want = kl.reduce((sum, x) => sum + Math.min(Math.log(N), x), 0) / 200;
      expect(estimate.value).toBeCloseTo(want, 12);
      expect(estimate).toMatchObject({ n: 200, confidence: 0.95, method: 't' });
      expect(estimate.lower).toBeGreaterThanOrEqual(0);
      expect(estimate.lower).toBeLessThan(want);
      expect(estimate.upper).toBeGreaterThan(want);
      expect(estimate.upper).toBeLessThanOrEqual(Math.log(N));
    }
    const clusters = kl.map((_, i) => i >> 2);
    expect(make(kl).stoppedKl(8, { clusters, confidence: 0.9 })).toMatchObject({
      method: 'cluster-t',
      confidence: 0.9,
    });
  });

  test('is what bounds.stoppedKlToCoverage takes (Prop D.10)', async () => {
    const { input, row } = randomPair(64, 8, 'f32', 2, 10);
    const scores = await scorePair({ ...input, offsets: eachRow(64) });
    const d = scores.stoppedKl(20).value;
    const want = Array.from({ length: 64 }, (_, r) => Math.min(Math.log(20), row(r).kl));
    expect(d).toBeCloseTo(want.reduce((sum, x) => sum + x, 0) / 64, 6);
    expect(bounds.stoppedKlToCoverage(d, 20)).toBe(Math.min(1, (2 * d) / (Math.log(20) - 1)));
  });

  test('refuses what it cannot estimate', () => {
    for (const N of [1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => make([1, 2]).stoppedKl(N)).toThrow(expect.objectContaining({ code: 'ERR_COVN_RANGE' }));
    }
    expect(() => make([]).stoppedKl(8)).toThrow(expect.objectContaining({ code: 'ERR_COVN_SHAPE' }));
    expect(() => make([1]).stoppedKl(8, { weights: [1] } as never)).toThrow(/one of confidence, clusters/);
  });
});

describe('bad input', () => {
  const good = { reference: new Float32Array(6), model: new Float32Array(6), vocab: 3, targets: new Int32Array(2) };
  const both = new Float32Array(12);
  const cases: [string, object, object, string, string][] = [
    ['no model', { ...good, model: undefined }, {}, 'ERR_COVN_DTYPE', 'model'],
    ['a plain array', { ...good, reference: [0, 0, 0, 0, 0, 0] }, {}, 'ERR_COVN_DTYPE', 'reference'],
    ['mixed storage', { ...good, model: new Uint16Array(6) }, {}, 'ERR_COVN_DTYPE', 'dtype'],
    ['halves without a dtype', { ...good, reference: new Uint16Array(6) }, {}, 'ERR_COVN_DTYPE', 'dtype'],
    ['mixed storage with a dtype', { ...good, model: new Uint16Array(6), dtype: 'f16' }, {}, 'ERR_COVN_DTYPE', 'dtype'],
    ['a short model', { ...good, model: new Float32Array(5) }, {}, 'ERR_COVN_SHAPE', 'model'],
    ['a long reference', { ...good, reference: new Float32Array(9) }, {}, 'ERR_COVN_SHAPE', 'reference'],
    ['an unknown input', { ...good, logits: good.model }, {}, 'ERR_COVN_DTYPE', 'logits'],
    ['a target too high', { ...good, targets: Int32Array.of(0, 3) }, {}, 'ERR_COVN_RANGE', 'targets[1]'],
    ['offsets that end early', { ...good, offsets: [0, 1] }, {}, 'ERR_COVN_SHAPE', 'offsets'],
    ['temperature 0', good, { temperature: 0 }, 'ERR_COVN_RANGE', 'temperature'],
    ['a device that is not there', good, { device: 'cuda' }, 'ERR_COVN_DEVICE', 'cuda'],
    ['an unknown option', good, { temprature: 1 }, 'ERR_COVN_DTYPE', 'temprature'],
    ['an unknown output', good, { outputs: { rank: true } }, 'ERR_COVN_DTYPE', 'rank'],
    ['threads 0', good, { threads: 0 }, 'ERR_COVN_RANGE', 'threads'],
    ['borrowing what is not shared', good, { ownership: 'borrow' }, 'ERR_COVN_DTYPE', 'reference'],
    [
      'one buffer transferred twice',
      { ...good, reference: both.subarray(0, 6), model: both.subarray(6) },
      { ownership: 'transfer' },
      'ERR_COVN_DTYPE',
      'model',
    ],
  ];
  for (const [what, input, options, code, place] of cases) {
    test(what, async () => {
      const error = await scorePair(input as never, options as never).catch((e) => e);
      expect(error).toMatchObject({ code });
      expect(error.message).toContain(place);
      expect(error.message).toMatch(/^Expected .+ for .+ but received /);
      expect([good.reference.length, both.length]).toEqual([6, 12]);
    });
  }

  test('an aborted signal rejects with its reason', async () => {
    const reason = new Error('stop');
    await expect(scorePair(good, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
