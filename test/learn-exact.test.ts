/** Exact KL, log ratios and inherent variance, against enumeration and closed forms. */

import { describe, expect, test } from 'vitest';
import {
  coverageProfile,
  exactKl,
  exactLogRatios,
  graphTask,
  inherentVariance,
  LinearModel,
  type MachineModel,
  TabularModel,
} from '../lib/index.ts';
import { featureRow, linearInput, randomLinear, randomTheta, tabular, tokenLogProbs, walk } from './oracles/linear.ts';
import { listResponses } from './support/machines.ts';

const maxLength = 6;
const cases = [1, 2, 3, 4].map((seed) => {
  const plain = randomLinear(seed, { dimension: 2 + seed, states: 4, vocab: 3, prompts: 4 });
  const [a, b] = [randomTheta(seed, plain.dimension), randomTheta(seed + 50, plain.dimension)];
  return {
    seed,
    plain,
    a,
    b,
    reference: new TabularModel(tabular(plain, a)),
    model: new LinearModel(linearInput(plain, b)),
  };
});

/** Every response with its probability under a and its log ratio. */
function enumerate({ plain, a, b }: (typeof cases)[0], prompt: number) {
  return listResponses(tabular(plain, a), prompt, maxLength).map(({ tokens, logProb }) => {
    const steps = walk(plain, prompt, tokens);
    const other = steps.reduce((sum, { state, token }) => sum + tokenLogProbs(plain, state, b)[token]!, 0);
    return { p: Math.exp(logProb), logRatio: logProb - other, steps };
  });
}

describe('by enumeration', () => {
  for (const each of cases) {
    const { seed, plain, a, reference, model } = each;

    test(`${seed}: KL`, async () => {
      const kl = await exactKl(reference, model, { maxLength });
      for (const [prompt, got] of kl.entries()) {
        const want = enumerate(each, prompt).reduce((sum, { p, logRatio }) => sum + p * logRatio, 0);
        expect(Math.abs(got - want)).toBeLessThan(1e-12 * Math.max(1, want));
      }
      const linear = new LinearModel(linearInput(plain, a));
      const same = await exactKl(linear, model, { maxLength, prompts: [3, 1] });
      expect(same[0]).toBeCloseTo(kl[3]!, 12);
      expect(same[1]).toBeCloseTo(kl[1]!, 12);
    });

    test(`${seed}: log ratios`, async () => {
      const { prompts, logRatios, weights } = await exactLogRatios(reference, model, { maxLength });
      for (let prompt = 0; prompt < 4; prompt++) {
        const mine = [...prompts.keys()].filter((i) => prompts[i] === prompt);
        const listed = enumerate(each, prompt);
        const total = mine.reduce((sum, i) => sum + weights[i]!, 0);
        expect(Math.abs(total - 1)).toBeLessThan(1e-12);
        for (const threshold of [-3, -1, -0.1, 0.1, 1, 3]) {
          const want = listed.reduce((sum, { p, logRatio }) => sum + (logRatio >= threshold ? p : 0), 0);
          const got = mine.reduce((sum, i) => sum + (logRatios[i]! >= threshold ? weights[i]! : 0), 0);
          expect(Math.abs(got - want)).toBeLessThan(1e-12);
        }
        const kl = mine.reduce((sum, i) => sum + weights[i]! * logRatios[i]!, 0);
        expect(kl).toBeCloseTo(
          listed.reduce((sum, { p, logRatio }) => sum + p * logRatio, 0),
          12,
        );
      }
    });

    test(`${seed}: inherent variance`, async () => {
      const got = await inherentVariance(reference, model, { maxLength });
      const spread = (state: number) => {
        const p = tokenLogProbs(plain, state, a).map(Math.exp);
        const rows = p.map((_, t) => featureRow(plain, state * plain.machine.vocab + t));
        const mean = Array.from({ length: plain.dimension }, (_, k) =>
          p.reduce((sum, x, t) => sum + x * rows[t]![k]!, 0),
        );
        return { rows, mean };
      };
      for (const [prompt, variance] of got.entries()) {
        let want = 0;
        for (const { p, steps } of enumerate(each, prompt)) {
          for (const { state, token } of steps) {
            const { rows, mean } = spread(state);
            want += p * mean.reduce((sum, x, k) => sum + (rows[token]![k]! - x) ** 2, 0);
          }
        }
        expect(Math.abs(variance - want)).toBeLessThan(1e-11 * want);
      }
    });
  }
});

describe('i.i.d. tokens', () => {
  // One state that leads back to itself.
  const loop = (theta: number[], rows = [0, 1]) =>
    new LinearModel({
      ...{ vocab: rows.length, next: new Int32Array(rows.length), start: [0], dimension: 1 },
      ...{ features: Float64Array.from(rows), theta: Float64Array.from(theta) },
    });

  test('have as many log ratios as counts, and the binomial as their distribution', async () => {
    const H = 1024;
    const [p, q] = [0.3, 0.32];
    const [reference, model] = [loop([Math.log(p / (1 - p))]), loop([Math.log(q / (1 - q))])];
    const { logRatios, weights } = await exactLogRatios(reference, model, { maxLength: H });
    const [ofOne, ofZero] = [Math.log(p / q), Math.log((1 - p) / (1 - q))];
    expect(logRatios.length).toBeLessThanOrEqual(H + 1);
    expect(weights.reduce((sum, w) => sum + w, 0)).toBeCloseTo(1, 12);
    let logChoose = 0;
    const binomial = Array.from({ length: H + 1 }, (_, k) => {
      if (k > 0) logChoose += Math.log((H - k + 1) / k);
      return Math.exp(logChoose + k * Math.log(p) + (H - k) * Math.log(1 - p));
    });
    for (const [i, x] of logRatios.entries()) {
      const k = Math.round((x - H * ofZero) / (ofOne - ofZero));
      expect(x).toBeCloseTo(k * ofOne + (H - k) * ofZero, 9);
      expect(Math.abs(weights[i]! - binomial[k]!)).toBeLessThan(1e-10 * binomial[k]! + 1e-300);
    }
    const [kl] = await exactKl(reference, model, { maxLength: H });
    expect(kl).toBeCloseTo(H * (p * ofOne + (1 - p) * ofZero), 9);
    expect(coverageProfile(logRatios, { weights }).kl.value).toBeCloseTo(kl!, 9);
    const [variance] = await inherentVariance(reference, model, { maxLength: H });
    expect(variance).toBeCloseTo(H * p * (1 - p), 9);
  });

  test('with three values, and some never drawn', async () => {
    const H = 40;
    const [reference, model] = [loop([0.5], [0, 1, -400]), loop([0.1], [0, 1, -400])];
    const { logRatios, weights } = await exactLogRatios(reference, model, { maxLength: H });
    const kl = logRatios.reduce((sum, x, i) => sum + weights[i]! * x, 0);
    expect(kl).toBeCloseTo((await exactKl(reference, model, { maxLength: H }))[0]!, 11);
  });

  test('that can be too many', async () => {
    const rows = [0, 1, Math.SQRT2, Math.PI, Math.E, 0.1234];
    const call = exactLogRatios(loop([0.2], rows), loop([0.1], rows), { maxLength: 200 });
    await expect(call).rejects.toThrow('distinct log ratios for prompt 0');
  });
});

test('the graph task, from the uniform distribution over its 4 valid paths', async () => {
  const task = graphTask({ figure: 1, prompts: 40, seed: 3, classes: [1, 1, 1] });
  const { machine, names: _, ...features } = task.features({ candidates: 'passable' });
  const { logProbs: __, ...rest } = machine;
  const [reference, model] = [new TabularModel(machine), new LinearModel({ ...rest, ...features })];
  const kl = await exactKl(reference, model);
  const { prompts, logRatios, weights } = await exactLogRatios(reference, model);
  for (const [prompt, of] of task.classOf.entries()) {
    const want = of === 3 ? 0 : Math.log(4);
    expect(kl[prompt]).toBeCloseTo(want, 13);
    const mine = [...prompts.keys()].filter((i) => prompts[i] === prompt);
    expect(mine.map((i) => weights[i])).toEqual([1]);
    expect(logRatios[mine[0]!]).toBeCloseTo(want, 13);
  }
});

describe('what is refused, or infinite', () => {
  const two = (logProbs: number[], next: number[]) =>
    new TabularModel({ vocab: 2, logProbs: Float64Array.from(logProbs), next: Int32Array.from(next), start: [0] });
  const half = Math.log(0.5);

  test('a reference that is not covered', async () => {
    const [reference, model] = [two([half, half], [-1, -1]), two([0, -Infinity], [-1, -1])];
    expect(await exactKl(reference, model)).toEqual(Float64Array.of(Infinity));
    expect(await exactKl(model, reference)).toEqual(Float64Array.of(Math.LN2));
    const { logRatios, weights } = await exactLogRatios(reference, model);
    expect([...logRatios]).toEqual([half, Infinity]);
    expect([...weights]).toEqual([0.5, 0.5]);
  });

  test('loops without an end, machines that differ, other models', async () => {
    const loop = two([half, half], [0, -1]);
    for (const call of [exactKl, exactLogRatios]) {
      await expect(call(loop, loop)).rejects.toThrow('Expected maxLength');
      await expect(call(loop, two([half, half], [-1, 0]))).rejects.toThrow('next of the reference');
      await expect(call(loop, {} as MachineModel)).rejects.toThrow('a TabularModel or a LinearModel');
      await expect(call(loop, loop, { prompts: [1] })).rejects.toThrow('prompts[0]');
      await expect(call(loop, loop, { maxLength: 0 })).rejects.toThrow('maxLength');
    }
    await expect(inherentVariance(loop, loop as never)).rejects.toThrow('a LinearModel');
  });

  /** One state that every token leads back to, each of them with a log ratio of its own. */
  const manyRatios = (vocab: number) => {
    const features = Float64Array.from({ length: vocab }, (_, i) => Math.sqrt(7 * i + 1) / Math.sqrt(7 * vocab));
    const model = new LinearModel({ vocab, next: new Int32Array(vocab), start: [0], dimension: 1, features });
    return { reference: model.withTheta(Float64Array.of(3)), model };
  };

  test('a vocabulary of log ratios is listed for one token and refused for two', async () => {
    const { reference, model } = manyRatios(120_000);
    const { logRatios, weights } = await exactLogRatios(reference, model, { maxLength: 1 });
    expect(logRatios.length).toBeGreaterThan(100_000);
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 9);
    await expect(exactLogRatios(reference, model, { maxLength: 2 })).rejects.toThrow('distinct log ratios');
  });

  test('long responses have their log ratios listed or refused, and either way soon', async () => {
    const { reference, model } = manyRatios(3);
    const { logRatios, weights } = await exactLogRatios(reference, model, { maxLength: 400 });
    const mean = logRatios.reduce((sum, ratio, i) => sum + ratio * weights[i]!, 0);
    const [kl] = await exactKl(reference, model, { maxLength: 400 });
    expect(mean).toBeCloseTo(kl!, 9);
    for (const vocab of [6, 12]) {
      const many = manyRatios(vocab);
      const call = exactLogRatios(many.reference, many.model, { maxLength: 1e6 });
      await expect(call).rejects.toThrow('distinct log ratios');
    }
  });

  test('no KL is below 0', async () => {
    const { model } = manyRatios(50);
    for (let i = 0; i < 200; i++) {
      const near = model.withTheta(Float64Array.of(0.3 + i * 1e-3));
      const other = model.withTheta(Float64Array.of(0.3 + i * 1e-3 + 1e-9));
      const [kl] = await exactKl(near, other, { maxLength: 1 });
      expect(kl).toBeGreaterThanOrEqual(0);
    }
  });

  test('a cancelled call rejects with the reason', async () => {
    const loop = two([half, half], [0, -1]);
    const controller = new AbortController();
    const call = exactKl(loop, loop, { maxLength: 2 ** 24 - 1, signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(call).rejects.toThrow('enough');
  });
});
