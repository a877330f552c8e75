/** scoreLogits on the emulated CUDA device, and what every call there has in common. */

import { execFile } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { devices, type LogitsDtype, type LogitsInput, type ScoreOptions, scoreLogits } from '../lib/index.ts';
import { testRandom, toBfloat16, toFloat16 } from './oracles/logprob.ts';
import { covn } from './support/cli.ts';
import { describeEmulated, expectClose, outcome } from './support/emulated.ts';

const here = path.dirname(fileURLToPath(import.meta.url));

const storages: LogitsDtype[] = ['f32', 'f16', 'bf16'];
const outputs = { token: true, logZ: true, entropy: true, rank: true };

function logits(count: number, dtype: LogitsDtype) {
  const random = testRandom(count);
  const values = Float32Array.from({ length: count }, () => 5 * random.normal());
  if (dtype === 'f32') return values;
  return Uint16Array.from(values, dtype === 'f16' ? toFloat16 : toBfloat16);
}

function input(rows: number, vocab: number, dtype: LogitsDtype = 'f32'): LogitsInput {
  const targets = Int32Array.from({ length: rows }, (_, row) => (row % 5 === 4 ? -1 : (row * 7919) % vocab));
  const offsets = [0, Math.floor(rows / 3), Math.floor(rows / 3), rows];
  return { logits: logits(rows * vocab, dtype), dtype, vocab, targets, offsets };
}

describeEmulated('scoreLogits', () => {
  test('says that it is one', async () => {
    const gpu = devices().find(({ name }) => name === 'cuda');
    expect(gpu).toMatchObject({ available: true, gpu: { name: 'emulated', emulated: true } });
    expect((await covn('doctor')).stdout).toMatch(/cuda +yes +emulated on this processor, for tests: not a GPU/);
    const scores = await scoreLogits(input(2, 3), { device: 'cuda' });
    expect(scores.device).toBe('cuda (emulated)');
  });

  describe.each(storages)('scoreLogits of %s', (storage) => {
    test.each([
      [1, 1],
      [7, 5],
      [13, 260],
      [3, 5003],
      [2, 40000],
    ])('[%i, %i] is as on the CPU', async (rows, vocab) => {
      const tokens = input(rows, vocab, storage);
      const options = { outputs, temperature: 0.7 };
      const found = await scoreLogits(tokens, { ...options, device: 'cuda' });
      const wanted = await scoreLogits(tokens, { ...options, device: 'cpu' });
      expectClose(found.token!, wanted.token!, 3e-6);
      expectClose(found.logZ!, wanted.logZ!, 2e-6);
      expectClose(found.entropy!, wanted.entropy!, 5e-6);
      expect(found.rank).toEqual(wanted.rank);
      expectClose(found.sequence, wanted.sequence, 2e-6 * rows);
    });
  });

  test('a row has the same bits in any batch', async () => {
    const [rows, vocab] = [6, 3001];
    const all = input(rows, vocab);
    const options = { outputs, device: 'cuda' } as const;
    const together = await scoreLogits(all, options);
    for (let row = 0; row < rows; row++) {
      const one = {
        logits: (all.logits as Float32Array).slice(row * vocab, (row + 1) * vocab),
        targets: all.targets.slice(row, row + 1),
        vocab,
      };
      const alone = await scoreLogits(one, options);
      expect(alone.logZ![0]).toEqual(together.logZ![row]);
      expect(alone.token![0]).toEqual(together.token![row]);
    }
  });

  describe('errors are the same as on the CPU', () => {
    const good = () => ({ logits: new Float32Array(12).fill(1), vocab: 4, targets: Int32Array.of(0, 1, 2) });
    const at = (place: number, value: number) => {
      const changed = good();
      changed.logits[place] = value;
      return changed;
    };
    test.each<[string, object, ScoreOptions]>([
      ['a NaN', at(5, Number.NaN), {}],
      ['+inf in the last row', at(11, Number.POSITIVE_INFINITY), {}],
      ['a target too large', { ...good(), targets: Int32Array.of(0, 4, 9) }, {}],
      ['a target below -1', { ...good(), targets: Int32Array.of(0, -2, 1) }, {}],
      ['a wrong shape', { ...good(), vocab: 5 }, {}],
      ['offsets that fall', { ...good(), offsets: [0, 2, 1, 3] }, {}],
      ['a temperature of 0', good(), { temperature: 0 }],
      ['a wrong dtype', { ...good(), dtype: 'f16' }, {}],
    ])('%s', async (_, tokens, options) => {
      const on = (device: 'cpu' | 'cuda') => outcome(scoreLogits(tokens as LogitsInput, { ...options, device }));
      const wanted = await on('cpu');
      expect(wanted).toMatchObject({ code: expect.stringMatching(/^ERR_COVN_/) });
      expect(await on('cuda')).toEqual(wanted);
    });

    test("rows that 'propagate' lets through", async () => {
      const tokens = at(5, Number.NaN);
      const found = await scoreLogits(tokens, { device: 'cuda', nonFinite: 'propagate' });
      const wanted = await scoreLogits(tokens, { nonFinite: 'propagate' });
      expect(found.nonFiniteRows).toEqual(wanted.nonFiniteRows);
      expectClose(found.token!, wanted.token!, 1e-6);
      expect(found.sequence[0]).toBeNaN();
    });
  });

  test('an empty input has an empty result', async () => {
    const scores = await scoreLogits(
      { logits: new Float32Array(), vocab: 4, targets: new Int32Array(), offsets: [0, 0] },
      { device: 'cuda' },
    );
    expect(scores.sequence).toEqual(Float64Array.of(0));
  });

  describe('ownership', () => {
    const wanted = async () => (await scoreLogits(input(4, 9))).sequence;

    test('transfer takes the buffer and hands it back', async () => {
      const mine = input(4, 9);
      const { logits: original } = mine;
      const scores = await scoreLogits(mine, { device: 'cuda', ownership: 'transfer' });
      expect(original.length).toBe(0);
      expect(scores.logits).toEqual(input(4, 9).logits);
      expectClose(scores.sequence, await wanted(), 1e-5);
    });

    test('borrow reads in place', async () => {
      const mine = input(4, 9);
      const shared = new Float32Array(new SharedArrayBuffer(4 * 36));
      shared.set(mine.logits);
      const scores = await scoreLogits({ ...mine, logits: shared }, { device: 'cuda', ownership: 'borrow' });
      expectClose(scores.sequence, await wanted(), 1e-5);
    });
  });

  /** Some seconds of emulated work, in many slices. */
  const long = (): LogitsInput => {
    const [rows, vocab] = [2000, 50_000];
    const shared = new Float32Array(new SharedArrayBuffer(4 * rows * vocab));
    return { logits: shared, vocab, targets: new Int32Array(rows) };
  };

  test('cancellation and progress', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const fractions: number[] = [];
    let aborted = 0;
    const running = scoreLogits(long(), {
      device: 'cuda',
      ownership: 'borrow',
      signal: controller.signal,
      onProgress: (fraction) => {
        fractions.push(fraction);
        aborted ||= performance.now();
        controller.abort(reason);
      },
    });
    await expect(running).rejects.toBe(reason);
    // A slice of the emulated device takes what it takes; a GPU's, some milliseconds.
    expect(performance.now() - aborted).toBeLessThan(20_000);
    expect(fractions[0]).toBeGreaterThan(0);
    expect(fractions[0]).toBeLessThan(1);
    const after = await scoreLogits(input(3, 7), { device: 'cuda' });
    expectClose(after.sequence, (await scoreLogits(input(3, 7))).sequence, 1e-5);
  });

  test('several calls at once give what each gives alone', async () => {
    const inputs = Array.from({ length: 8 }, (_, k) => input(5 + k, 100 + 17 * k));
    const together = await Promise.all(inputs.map((tokens) => scoreLogits(tokens, { device: 'cuda' })));
    for (const [k, tokens] of inputs.entries()) {
      expect(together[k]!.sequence).toEqual((await scoreLogits(tokens, { device: 'cuda' })).sequence);
    }
  });

  test.each([
    ['idle', 'done\n'],
    ['pending', 'settled\n'],
    ['exit', 'leaving\n'],
    ['worker-only', 'worker ended\nstill here\n'],
  ])('a process ends well: %s', async (how, wanted) => {
    const script = path.join(here, 'fixtures', 'exits.mjs');
    const { stdout } = await promisify(execFile)(process.execPath, [script, how, 'cuda'], { timeout: 55_000 });
    expect(stdout).toBe(wanted);
  });

  test('4 worker threads, half of them terminated in mid-job, leave no crash, no hang and no memory', async () => {
    const script = path.join(here, 'fixtures', 'cuda-workers.mjs');
    const { stdout } = await promisify(execFile)(process.execPath, [script], { timeout: 110_000 });
    const { grown, ...counts } = JSON.parse(stdout);
    expect(counts).toEqual({ finished: 2, terminated: 2, wrong: 0 });
    // The buffers of each job that was broken off are 64 MiB, and there are ten such jobs after the first round.
    expect(grown).toBeLessThan(256 * 1024);
  }, 120_000);
});
