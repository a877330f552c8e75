/** The life of asynchronous calls: cancellation, progress, worker threads, and the end of a process. */

import { execFile } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { scoreLogits, tournament } from '../lib/index.ts';

const here = path.dirname(fileURLToPath(import.meta.url));
const run = promisify(execFile);

/** A few hundred milliseconds of work. */
function longInput() {
  const [rows, vocab] = [1500, 100_000];
  const logits = new Float32Array(new SharedArrayBuffer(4 * rows * vocab));
  return { logits, vocab, targets: new Int32Array(rows) };
}

describe('cancellation', () => {
  test('rejects with the reason of the signal, soon', async () => {
    const input = longInput();
    const reason = new Error('enough');
    const controller = new AbortController();
    let aborted = 0;
    const running = scoreLogits(input, {
      ownership: 'borrow',
      signal: controller.signal,
      // The first report comes while the job has most of its way before it.
      onProgress: () => {
        aborted ||= performance.now();
        controller.abort(reason);
      },
    });
    await expect(running).rejects.toBe(reason);
    // Contract: 50 ms. Not a speed but a promise; the bound leaves room for a busy machine.
    expect(performance.now() - aborted).toBeLessThan(500);
  });

  test('a signal already aborted starts nothing and takes nothing', async () => {
    const logits = new Float32Array(4);
    const signal = AbortSignal.abort(new Error('never'));
    const input = { logits, vocab: 2, targets: new Int32Array(2) };
    await expect(scoreLogits(input, { signal, ownership: 'transfer' })).rejects.toThrow('never');
    expect(logits.length).toBe(4);
  });

  test('a tournament is cancelled too', async () => {
    const controller = new AbortController();
    const n = 20000;
    const logProbs = Float64Array.from({ length: 8 * n }, (_, i) => -((i * 7919) % 101));
    const running = tournament({
      logProbs,
      models: 8,
      N: 2,
      bootstrap: 20000,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('stop')),
    });
    await expect(running).rejects.toThrow('stop');
  });

  test('a small call is cancelled at once behind a large tournament', async () => {
    const [models, n] = [20, 100_000];
    const logProbs = Float64Array.from({ length: models * n }, (_, i) => -((i * 7919) % 1013) / 50);
    const stop = new AbortController();
    const large = tournament({ logProbs, models, N: 2, signal: stop.signal }).catch((reason) => reason);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const small = { logits: new Float32Array(8), vocab: 4, targets: new Int32Array(2) };
    const controller = new AbortController();
    const waiting = [];
    // More calls than the workers can have begun.
    for (let i = 0; i < 200; i++) waiting.push(scoreLogits(small, { signal: controller.signal }).catch((r) => r));
    const before = performance.now();
    controller.abort('no more');
    expect((await Promise.all(waiting)).at(-1)).toBe('no more');
    // Contract: 50 ms; the bound leaves room for a busy machine.
    expect(performance.now() - before).toBeLessThan(500);
    stop.abort('end');
    expect(await large).toBe('end');
  });

  test('many calls may share a signal', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);
    process.on('warning', note);
    const { signal } = new AbortController();
    const small = { logits: new Float32Array(8), vocab: 4, targets: new Int32Array(2) };
    await Promise.all(Array.from({ length: 50 }, () => scoreLogits(small, { signal })));
    await new Promise((resolve) => setTimeout(resolve, 20));
    process.off('warning', note);
    expect(warnings).toEqual([]);
  });

  test('a transferred input comes back with the reason', async () => {
    const { logits, ...rest } = longInput();
    const mine = new Float32Array(logits.length);
    const controller = new AbortController();
    const reason = new Error('enough');
    const options = {
      ownership: 'transfer',
      signal: controller.signal,
      onProgress: () => controller.abort(reason),
    } as const;
    await expect(scoreLogits({ ...rest, logits: mine }, options)).rejects.toBe(reason);
    expect((reason as Error & { returned?: { logits: Float32Array } }).returned!.logits.length).toBe(logits.length);
  });

  test("an error thrown by onProgress is the call's", async () => {
    const running = scoreLogits(longInput(), {
      ownership: 'borrow',
      onProgress: () => {
        throw new Error('from the callback');
      },
    });
    await expect(running).rejects.toThrow('from the callback');
  });
});

test('progress rises and ends at 1', async () => {
  const fractions: number[] = [];
  await scoreLogits(longInput(), { ownership: 'borrow', onProgress: (fraction) => fractions.push(fraction) });
  expect(fractions.at(-1)).toBe(1);
  expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
  expect(fractions[0]).toBeGreaterThan(0);
});

test('the event loop runs on during a call', async () => {
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await scoreLogits(longInput(), { ownership: 'borrow' });
  clearInterval(timer);
  expect(turns).toBeGreaterThan(3);
});

test('many calls at once give what each gives alone', async () => {
  const inputs = Array.from({ length: 50 }, (_, k) => ({
    logits: Float32Array.from({ length: 400 }, (_, i) => Math.sin(i * (k + 1)) * 9),
    vocab: 20,
    targets: Int32Array.from({ length: 20 }, (_, i) => (i * (k + 3)) % 20),
  }));
  const together = await Promise.all(inputs.map((input) => scoreLogits(input)));
  for (const [k, input] of inputs.entries()) {
    expect(together[k]!.sequence).toEqual((await scoreLogits(input, { threads: 1 })).sequence);
  }
});

describe('processes', () => {
  const script = (name: string, ...args: string[]) =>
    run(process.execPath, [path.join(here, 'fixtures', name), ...args], { timeout: 60_000 });

  test.each(['logits', 'models'])(
    '8 worker threads on %s, half of them terminated in mid-job, leave no crash and no hang',
    async (kind) => {
      for (let repeat = 0; repeat < 3; repeat++) {
        const { stdout } = await script('workers.mjs', kind);
        expect(JSON.parse(stdout)).toEqual({ finished: 4, terminated: 4, wrong: 0 });
      }
    },
  );

  test('an idle addon does not keep the process alive, and a finished call does not either', async () => {
    const { stdout } = await script('exits.mjs', 'idle');
    expect(stdout).toBe('done\n');
  });

  test('a call in flight keeps the process alive', async () => {
    const { stdout } = await script('exits.mjs', 'pending');
    expect(stdout).toBe('settled\n');
  });

  test('process.exit in mid-job is clean', async () => {
    const { stdout } = await script('exits.mjs', 'exit');
    expect(stdout).toBe('leaving\n');
  });

  test('a worker that alone loaded the addon may end before the process does', async () => {
    const { stdout } = await script('exits.mjs', 'worker-only');
    expect(stdout).toBe('worker ended\nstill here\n');
  });
});
