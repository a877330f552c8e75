/** What V8 is told of the memory of batches: nothing is left of it, and nothing told where V8 seldom marks. */

import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { endBatches, reportBatch } from '../lib/best-of-n/reported-memory.ts';
import { bestOfN, TabularModel } from '../lib/index.ts';
import { addon } from '../lib/native/index.ts';

setFlagsFromString('--expose-gc');
const collect: (options?: { type: 'minor' }) => void = runInNewContext('gc');
const MiB = 2 ** 20;
const CHUNK = Math.min(1024, getHeapStatistics().heap_size_limit / 4 / MiB);
const external = () => addon().reportMemory(0) / MiB;

/** Marks the heap, and lets those who watch hear of it. */
async function mark() {
  for (let i = 0; i < 2; i++) {
    collect();
    for (let k = 0; k < 5; k++) await turn();
  }
}

describe('memory reported to V8', () => {
  it('is a chunk at a time where it marks often, less each batch, and is taken back', async () => {
    const batch = [new Uint8Array(MiB)];
    const draw = (batches: number) => {
      for (let i = 0; i < batches; i++) reportBatch(batch);
    };
    // What else the process has may come and go.
    const expectTold = (since: number, chunk: number) => expect(Math.abs(external() - since - chunk)).toBeLessThan(10);
    await mark();
    draw(1);
    let before = external();
    draw(200);
    await mark(); // after 200 MiB: not often
    draw(7);
    await mark(); // after 7: for other reasons
    draw(1);
    expectTold(before, 0);
    draw(20);
    collect({ type: 'minor' }); // no marking
    for (let k = 0; k < 5; k++) await turn();
    draw(1);
    expectTold(before, 0);
    await mark(); // after 22 MiB
    const large = [new Uint8Array(9 * MiB)];
    before = external();
    reportBatch(large); // too large to count
    draw(1);
    expectTold(before, CHUNK);
    draw(200);
    expectTold(before, CHUNK - 200);
    endBatches();
    draw(1); // the next call's
    await wait(1200);
    expectTold(before, CHUNK - 201);
    draw(Math.floor(CHUNK) - 204); // the next chunk, without waiting for V8 to mark
    expectTold(before, CHUNK + 3);
    draw(7);
    endBatches();
    await wait(1200);
    expectTold(before, 0);
    expect(large.length).toBe(1); // held until now
  });

  it('is taken back when a reward in JavaScript ends, fails or is cancelled', async () => {
    const model = new TabularModel({
      vocab: 2,
      logProbs: new Float64Array(2).fill(-Math.LN2),
      next: new Int32Array(2),
      start: [0],
    });
    const request = { N: 2 ** 18, maxLength: 64, seed: 1 };
    await mark();
    for (const end of ['ends', 'fails', 'is cancelled']) {
      const controller = new AbortController();
      const before = external();
      let batches = 0;
      let chunk = 0;
      const reward = async ({ prompts }: { prompts: Int32Array }) => {
        if (batches % 12 === 11) await mark();
        chunk = Math.max(chunk, external() - before);
        if (++batches === 50 && end === 'fails') throw new Error('a reward');
        if (batches === 50 && end === 'is cancelled') controller.abort(new Error('enough'));
        return new Float64Array(prompts.length);
      };
      const run = bestOfN(model, [0], { ...request, reward }, { signal: controller.signal });
      if (end === 'ends') await run;
      else await expect(run).rejects.toThrow(end === 'fails' ? 'a reward' : 'enough');
      expect(chunk).toBeGreaterThan(CHUNK - 124);
      await wait(1200);
      await mark();
      expect(Math.abs(external() - before)).toBeLessThan(10);
    }
  });
});
