/** Responses of models outside, token by token. */

import { describe, expect, test } from 'vitest';
import { type Prefixes, rollout, sampleLogits, scoreLogitsSync } from '../lib/index.ts';
import { random, tokensOf } from './support/machines.ts';

const vocab = 11;
const stop = 0;
const draw = random(7);
const table = Float32Array.from({ length: vocab * vocab }, () => 2 * draw());

/** A model whose logits depend on the last two tokens. */
function logitsAfter(prefix: ArrayLike<number>): Float32Array {
  const last = prefix[prefix.length - 1]!;
  const before = prefix.length > 1 ? prefix[prefix.length - 2]! : 0;
  return table.slice(last * vocab, (last + 1) * vocab).map((x, token) => x + ((before * token) % 3));
}

const prefixesIn = ({ tokens, offsets }: Prefixes): number[][] =>
  Array.from(offsets.subarray(1), (end, i) => [...tokens.subarray(offsets[i], end)]);

function step(prefixes: Prefixes): Float32Array {
  const all = prefixesIn(prefixes);
  const logits = new Float32Array(all.length * vocab);
  for (const [i, prefix] of all.entries()) logits.set(logitsAfter(prefix), i * vocab);
  return logits;
}

const request = { prompts: [[1], [2, 3], [4, 5, 6]], N: 7, maxLength: 12, seed: 3, stop };

describe('rollout', () => {
  test('draws each token as sampleLogits does, and sums the log-probs of scoreLogits', async () => {
    const drawn = await rollout(step, request);
    expect([...drawn.prompts]).toEqual(Array.from({ length: 21 }, (_, i) => Math.floor(i / 7)));
    expect([...drawn.samples]).toEqual(Array.from({ length: 21 }, (_, i) => i % 7));
    for (const [i, tokens] of tokensOf(drawn).entries()) {
      const prefix = [...request.prompts[drawn.prompts[i]!]!];
      let logProb = 0;
      for (const [position, token] of tokens.entries()) {
        const input = { logits: logitsAfter(prefix), vocab };
        const counter = { seed: 3, sequence: drawn.prompts[i]!, position, firstSample: drawn.samples[i]! };
        expect((await sampleLogits(input, counter)).ids[0]).toBe(token);
        logProb += scoreLogitsSync({ ...input, targets: Int32Array.of(token) }).token![0]!;
        prefix.push(token);
      }
      expect(drawn.logProbs[i]).toBe(logProb);
      const end = tokens.indexOf(stop);
      expect(end).toBe(drawn.ended[i] === 1 ? tokens.length - 1 : -1);
      if (drawn.ended[i] === 0) expect(tokens.length).toBe(12);
    }
    expect(new Set(drawn.ended).size).toBe(2); // both happen
  });

  test('gives the same responses whatever the batch, and keeps slots apart', async () => {
    const whole = await rollout(step, request);
    for (const batch of [1, 2, 5, 100]) {
      const prompts = new Map<number, string>();
      let most = 0;
      const watching = (prefixes: Prefixes) => {
        most = Math.max(most, prefixes.prompts.length);
        expect(new Set(prefixes.slots).size).toBe(prefixes.slots.length);
        for (const [i, slot] of prefixes.slots.entries()) {
          const response = `${prefixes.prompts[i]}:${prefixes.samples[i]}`;
          // A slot changes hands only at a response's first token.
          if (prefixes.lengths[i] === 0) prompts.set(slot, response);
          expect(prompts.get(slot)).toBe(response);
          expect(slot).toBeLessThan(batch);
        }
        return Promise.resolve({ logits: step(prefixes) });
      };
      expect(await rollout(watching, request, { batch, threads: 1 })).toEqual(whole);
      expect(most).toBe(Math.min(batch, 21));
    }
  });

  test('filters apply; processed log-probs are those of what was drawn from', async () => {
    const greedy = await rollout(step, { ...request, topK: 1 });
    for (const tokens of tokensOf(greedy).slice(0, 7)) expect(tokens).toEqual(tokensOf(greedy)[0]);
    // What is certain has log-prob 0 exactly.
    expect(greedy.processedLogProbs).toEqual(new Float64Array(21));
    expect(greedy.logProbs.every((x) => x < 0)).toBe(true);
  });

  test('a step may do what it likes with what it is handed', async () => {
    const vandal = (prefixes: Prefixes) => {
      const logits = step(prefixes);
      for (const array of Object.values(prefixes) as Int32Array[])
        structuredClone(array, { transfer: [array.buffer as ArrayBuffer] });
      return logits;
    };
    expect(await rollout(vandal, request)).toEqual(await rollout(step, request));
  });

  test('timers have their turn though a step never waits', async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('in time')), 50);
    const long = { ...request, N: 10_000, maxLength: 10_000, stop: [] };
    await expect(rollout(step, long, { signal: controller.signal })).rejects.toThrow('in time');
  });

  test('ends when told to, while a step takes its time', async () => {
    const controller = new AbortController();
    let seen: AbortSignal | undefined;
    const never = (_: Prefixes, signal: AbortSignal) => {
      seen = signal;
      setTimeout(() => controller.abort(new Error('enough')), 5);
      return new Promise<Float32Array>(() => {});
    };
    await expect(rollout(never, request, { signal: controller.signal })).rejects.toThrow('enough');
    expect(seen!.aborted).toBe(true);
    await expect(rollout(step, request, { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
  });

  test('may be told to end at the last report', async () => {
    const controller = new AbortController();
    const onProgress = (fraction: number) => fraction === 1 && controller.abort(new Error('at last'));
    await expect(rollout(step, request, { signal: controller.signal, onProgress })).rejects.toThrow('at last');
  });

  test('reports progress, and passes on what a step throws', async () => {
    const seen: number[] = [];
    await rollout(step, request, { onProgress: (fraction) => seen.push(fraction) });
    expect(seen.at(-1)).toBe(1);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    const broken = () => {
      throw new Error('no model');
    };
    await expect(rollout(broken, request)).rejects.toThrow('no model');
  });

  test('nothing to draw is no responses', async () => {
    const none = await rollout(step, { prompts: [] });
    expect([...none.offsets]).toEqual([0]);
  });

  test('refuses requests and logits that are not sound', async () => {
    const refused: [() => Promise<unknown>, string][] = [
      [() => rollout(undefined as never, request), 'ERR_COVN_DTYPE'],
      [() => rollout(step, { ...request, prompts: [[1.5]] }), 'ERR_COVN_RANGE'],
      [() => rollout(step, { ...request, prompts: 3 as never }), 'ERR_COVN_DTYPE'],
      [() => rollout(step, { ...request, N: 0 }), 'ERR_COVN_RANGE'],
      [() => rollout(step, { ...request, maxLength: 0 }), 'ERR_COVN_RANGE'],
      [() => rollout(step, { ...request, stop: -1 }), 'ERR_COVN_RANGE'],
      [() => rollout(step, { ...request, stop: vocab }), 'ERR_COVN_RANGE'],
      [() => rollout(step, { ...request, prompts: [[1, vocab]] }), 'ERR_COVN_RANGE'],
      [() => rollout(step, { ...request, prompts: new Array(2) }), 'ERR_COVN_DTYPE'],
      [() => rollout(step, { ...request, topP: 2 }), 'ERR_COVN_RANGE'],
      [() => rollout(step, { ...request, stops: 1 } as never), 'ERR_COVN_DTYPE'],
      [() => rollout(step, request, { batch: 0 }), 'ERR_COVN_RANGE'],
      [() => rollout(() => new Float32Array(20), request), 'ERR_COVN_SHAPE'],
      [() => rollout(() => new Float32Array(0), request), 'ERR_COVN_SHAPE'],
      [() => rollout(() => [1, 2] as never, request), 'ERR_COVN_DTYPE'],
      [() => rollout(() => undefined as never, request), 'ERR_COVN_DTYPE'],
      [() => rollout((p) => step(p).fill(Number.NaN), request), 'ERR_COVN_NON_FINITE'],
    ];
    for (const [call, code] of refused) await expect(call(), String(call)).rejects.toMatchObject({ code });
    // A vocabulary that changes on the way.
    let calls = 0;
    const changing = (prefixes: Prefixes) => new Float32Array(prefixes.prompts.length * (vocab + calls++));
    await expect(rollout(changing, request)).rejects.toMatchObject({ code: 'ERR_COVN_SHAPE' });
  });
});
