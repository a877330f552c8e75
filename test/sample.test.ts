/** Tokens drawn from logits. */

import { describe, expect, test } from 'vitest';
import { philox } from '../lib/estimate/philox.ts';
import { sampleLogits, scoreLogitsSync } from '../lib/index.ts';
import { random } from './support/machines.ts';

/** Normal logits, some of them -inf. */
function makeLogits(rows: number, vocab: number, seed: number, spread = 3): Float32Array {
  const draw = random(seed);
  return Float32Array.from({ length: rows * vocab }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - draw()));
    const x = spread * radius * Math.cos(2 * Math.PI * draw());
    return draw() < 0.05 ? Number.NEGATIVE_INFINITY : x;
  });
}

/** The distribution of a row at a temperature, in double. */
function softmax(row: Float32Array, temperature = 1): Float64Array {
  const scaled = Float64Array.from(row, (x) => x / temperature);
  const max = scaled.reduce((a, b) => Math.max(a, b));
  const terms = scaled.map((x) => Math.exp(x - max));
  const total = terms.reduce((a, b) => a + b);
  return terms.map((x) => x / total);
}

describe('sampleLogits', () => {
  const vocab = 1000;
  const rows = 5;
  const logits = makeLogits(rows, vocab, 1);

  test('log-probs are those of scoreLogits for the same tokens, to the bit', async () => {
    const N = 40;
    const { ids, logProb, processedLogProb } = await sampleLogits({ logits, vocab }, { N, seed: 5 });
    for (let i = 0; i < N; i++) {
      const targets = Int32Array.from({ length: rows }, (_, row) => ids[row * N + i]!);
      const { token } = scoreLogitsSync({ logits, vocab, targets });
      expect(targets.map((_, row) => (Object.is(token![row], logProb[row * N + i]) ? 1 : 0))).toEqual(
        new Int32Array(rows).fill(1),
      );
    }
    expect(processedLogProb).toEqual(logProb);
  });

  test('outputs are written into, and are what the result holds', async () => {
    const N = 300; // an index
    const shared = <A>(type: new (memory: SharedArrayBuffer) => A): A => new type(new SharedArrayBuffer(4 * rows * N));
    const filter = { temperature: 0.7, topK: 20 };
    for (const options of [{}, filter]) {
      const want = await sampleLogits({ logits, vocab }, { N, seed: 5, ...options });
      const outputs = {
        ids: shared(Int32Array),
        logProb: shared(Float32Array),
        processedLogProb: shared(Float32Array),
      };
      const got = await sampleLogits({ logits, vocab }, { N, seed: 5, outputs, ...options });
      for (const name of ['ids', 'logProb', 'processedLogProb'] as const) {
        expect(got[name]).toBe(outputs[name]);
        expect(Array.from(got[name])).toEqual(Array.from(want[name]));
      }
    }
    const ids = shared(Int32Array);
    const { logProb, processedLogProb } = await sampleLogits({ logits, vocab }, { N, outputs: { ids } });
    expect(processedLogProb).toBe(logProb);
    for (const outputs of [
      { ids: new Int32Array(rows * N) },
      { ids: shared(Int32Array).subarray(1) },
      { logProb: ids },
      { ids, logProb: new Float32Array(ids.buffer) },
      { tokens: ids },
    ]) {
      await expect(sampleLogits({ logits, vocab }, { N, outputs: outputs as object })).rejects.toThrow(/Expected/);
    }
    for (const name of ['ids', 'logProb', 'processedLogProb']) {
      for (const wanted of [true, false]) {
        const outputs = { [name]: wanted } as object;
        await expect(sampleLogits({ logits, vocab }, { N, outputs })).rejects.toThrow(/Expected an array \(/);
      }
    }
    const memory = new SharedArrayBuffer(4 * (logits.length + rows * N));
    const borrowed = new Float32Array(memory, 0, logits.length);
    borrowed.set(logits as Float32Array);
    const into = (first: number) => ({ logProb: new Float32Array(memory, 4 * first, rows * N) });
    const options = { N, ownership: 'borrow' as const };
    const apart = await sampleLogits({ logits: borrowed, vocab }, { ...options, outputs: into(logits.length) });
    expect(apart.logProb).toEqual(logProb);
    await expect(
      sampleLogits({ logits: borrowed, vocab }, { ...options, outputs: into(logits.length - 1) }),
    ).rejects.toThrow(/memory that the call does not read for outputs.logProb/);
  });

  test('inverts the distribution function at uniforms of Philox', async () => {
    const N = 200;
    const seed = 2 ** 40 + 17;
    const { ids } = await sampleLogits({ logits, vocab }, { N, seed, position: 9, sequence: 3, firstSample: 4 });
    const words = new Uint32Array(4);
    let compared = 0;
    for (let row = 0; row < rows; row++) {
      const p = softmax(logits.subarray(row * vocab, (row + 1) * vocab));
      for (let i = 0; i < N; i++) {
        philox(Uint32Array.of(3 + row, 9, 4 + i, 2), seed % 2 ** 32, Math.floor(seed / 2 ** 32), words);
        const [high, low] = words;
        const u = (high! * 2 ** 20 + Math.floor(low! / 2 ** 12) + 0.5) / 2 ** 52;
        let token = 0;
        let below = 0;
        while (below + p[token]! <= u) below += p[token++]!;
        // Where the uniform lies at a boundary, float32 terms may decide otherwise.
        if (Math.min(u - below, below + p[token]! - u) < 2e-6) continue;
        compared++;
        expect(ids[row * N + i]).toBe(token);
      }
    }
    expect(compared).toBeGreaterThan(0.95 * rows * N);
  });

  test('a sample does not depend on the batch, the split of N or the threads', async () => {
    const N = 300;
    const whole = await sampleLogits({ logits, vocab }, { N, seed: 1, threads: 2 });
    expect((await sampleLogits({ logits, vocab }, { N, seed: 1, threads: 1 })).ids).toEqual(whole.ids);
    for (let row = 0; row < rows; row++) {
      const one = { logits: logits.slice(row * vocab, (row + 1) * vocab), vocab };
      const first = await sampleLogits(one, { N: 7, seed: 1, sequence: row });
      const rest = await sampleLogits(one, { N: N - 7, seed: 1, sequence: [row], firstSample: [7] });
      expect([...first.ids, ...rest.ids]).toEqual([...whole.ids.subarray(row * N, (row + 1) * N)]);
    }
  });

  test('filters keep what they should, in the order min-p, top-k, top-p', async () => {
    const filter = { temperature: 1.7, minP: 0.02, topK: 20, topP: 0.8 };
    const N = 20_000;
    const { ids, logProb, processedLogProb } = await sampleLogits({ logits, vocab }, { N, seed: 3, ...filter });
    for (let row = 0; row < rows; row++) {
      const raw = softmax(logits.subarray(row * vocab, (row + 1) * vocab));
      const p = softmax(logits.subarray(row * vocab, (row + 1) * vocab), filter.temperature);
      let kept = [...p.keys()].sort((a, b) => p[b]! - p[a]!);
      kept = kept.filter((token) => p[token]! >= filter.minP * p[kept[0]!]!).slice(0, filter.topK);
      const left = kept.reduce((sum, token) => sum + p[token]!, 0);
      let above = 0;
      kept = kept.filter((token) => {
        const keep = above < filter.topP * left;
        above += p[token]!;
        return keep;
      });
      const share = kept.reduce((sum, token) => sum + p[token]!, 0);
      const drawn = ids.subarray(row * N, (row + 1) * N);
      // Each of the kept tokens has a probability above 1e-3: missing one of 20 in 20,000 draws has probability < 1e-7.
      expect(new Set(drawn)).toEqual(new Set(kept));
      for (let i = 0; i < 100; i++) {
        expect(logProb[row * N + i]).toBeCloseTo(Math.log(raw[drawn[i]!]!), 5);
        expect(processedLogProb[row * N + i]).toBeCloseTo(Math.log(p[drawn[i]!]! / share), 5);
      }
    }
  });

  test('f16 and bf16 are read as they are', async () => {
    // 1, 2 and -inf in both storages.
    for (const [dtype, one, two, never] of [
      ['f16', 0x3c00, 0x4000, 0xfc00],
      ['bf16', 0x3f80, 0x4000, 0xff80],
    ] as const) {
      const { ids } = await sampleLogits({ logits: Uint16Array.of(one, never, two), dtype, vocab: 3 }, { N: 100_000 });
      const share = ids.filter((token) => token === 2).length / ids.length;
      // Standard error 0.0014; at 5 of them, false alarm 6e-7.
      expect(Math.abs(share - 1 / (1 + Math.exp(-1)))).toBeLessThan(0.007);
      expect(ids.includes(1)).toBe(false);
    }
  });

  test('ownership: transfer takes the logits and hands them back', async () => {
    const mine = logits.slice();
    const { logits: back } = await sampleLogits({ logits: mine, vocab }, { ownership: 'transfer' });
    expect(mine.length).toBe(0);
    expect(back).toEqual(logits);
  });

  test('refuses what it cannot draw from', async () => {
    const bad = logits.slice();
    bad[2 * vocab + 5] = Number.NaN;
    await expect(sampleLogits({ logits: bad, vocab })).rejects.toMatchObject({
      code: 'ERR_COVN_NON_FINITE',
      message: expect.stringContaining('row 2'),
    });
    const none = new Float32Array(vocab).fill(Number.NEGATIVE_INFINITY);
    await expect(sampleLogits({ logits: none, vocab })).rejects.toMatchObject({ code: 'ERR_COVN_NON_FINITE' });
    const refused: [object, string][] = [
      [{ N: 0 }, 'ERR_COVN_RANGE'],
      [{ N: 1.5 }, 'ERR_COVN_RANGE'],
      [{ temperature: 0 }, 'ERR_COVN_RANGE'],
      [{ topP: 0 }, 'ERR_COVN_RANGE'],
      [{ topP: Number.NaN }, 'ERR_COVN_RANGE'],
      [{ topK: 0 }, 'ERR_COVN_RANGE'],
      [{ minP: 1.1 }, 'ERR_COVN_RANGE'],
      [{ seed: -1 }, 'ERR_COVN_RANGE'],
      [{ sequence: [1, 2] }, 'ERR_COVN_SHAPE'],
      [{ sequence: 2 ** 32 - 1 }, 'ERR_COVN_RANGE'],
      [{ firstSample: 2 ** 32 - 1, N: 2 }, 'ERR_COVN_RANGE'],
      [{ top_p: 0.9 }, 'ERR_COVN_DTYPE'],
      [{ device: 'tpu' }, 'ERR_COVN_DTYPE'],
    ];
    for (const [options, code] of refused) {
      await expect(sampleLogits({ logits, vocab }, options), JSON.stringify(options)).rejects.toMatchObject({ code });
    }
    const taken = logits.slice();
    await sampleLogits({ logits: taken, vocab }, { ownership: 'transfer' });
    await expect(sampleLogits({ logits: taken, vocab })).rejects.toMatchObject({ code: 'ERR_COVN_SHAPE' });
    await expect(sampleLogits({ logits: logits, vocab }, { N: 2 ** 29 })).rejects.toMatchObject({
      code: 'ERR_COVN_RANGE',
    });
    await expect(sampleLogits({ logits: logits.subarray(1), vocab })).rejects.toMatchObject({ code: 'ERR_COVN_SHAPE' });
    await expect(sampleLogits({ logits: [1, 2] as never, vocab: 2 })).rejects.toMatchObject({ code: 'ERR_COVN_DTYPE' });
  });
});
