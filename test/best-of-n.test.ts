import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bestOfNReward, passAtN, passHatN } from '../lib/best-of-n/index.ts';

/** All subsets of size N of 0..n-1: the definition itself. */
function* subsets(n: number, N: number, from = 0): Generator<number[]> {
  if (N === 0) yield [];
  else for (let i = from; i <= n - N; i++) for (const rest of subsets(n, N - 1, i + 1)) yield [i, ...rest];
}

const mean = (xs: number[]) => xs.reduce((a, b) => a + b, 0) / xs.length;

/** C(a, N) / C(b, N) as a double, through whole numbers only. */
function choiceRatio(a: number, b: number, N: number): number {
  if (a < N) return 0;
  const [first, terms] = N <= b - a ? [a, N] : [b - N, b - a]; // C(b - m, N) / C(b, N) is symmetric in m and N
  let [top, bottom] = [1n, 1n];
  for (let i = 0; i < terms; i++) {
    top *= BigInt(first - i);
    bottom *= BigInt(b - i);
  }
  return Number((top * 10n ** 40n) / bottom) / 1e40;
}

const fixture = (name: string) => readFileSync(new URL(`./fixtures/${name}`, import.meta.url), 'utf8');

function mathAnswers() {
  const rows = fixture('math-best-of-8.jsonl').trim().split('\n');
  const parsed = rows.map((row) => JSON.parse(row) as { score: boolean[]; pred_score: number[][] });
  return {
    correct: parsed.map((row) => row.score.filter(Boolean).length),
    values: parsed.flatMap((row) => row.score.map(Number)),
    rewards: parsed.flatMap((row) => row.pred_score.map((score) => score[0]!)),
    offsets: Array.from({ length: parsed.length + 1 }, (_, i) => 8 * i),
  };
}

function airlineTrials() {
  const correct = new Array<number>(50).fill(0);
  for (const line of fixture('airline-trials.csv').trim().split('\n').slice(1)) {
    const [task, , reward] = line.split(',').map(Number);
    correct[task!]! += reward!;
  }
  return { samples: 4, correct };
}

describe('passAtN and passHatN', () => {
  it('equal the mean over all subsets', () => {
    for (let n = 1; n <= 8; n++) {
      for (let c = 0; c <= n; c++) {
        for (let N = 1; N <= n; N++) {
          const hits = [...subsets(n, N)].map((rows) => rows.filter((row) => row < c).length);
          const any = mean(hits.map((k) => (k > 0 ? 1 : 0)));
          const all = mean(hits.map((k) => (k === N ? 1 : 0)));
          expect(passAtN({ samples: n, correct: [c] }, N).value).toBeCloseTo(any, 14);
          expect(passHatN({ samples: [n], correct: [c] }, N).value).toBeCloseTo(all, 14);
        }
      }
    }
  });

  it('agree with whole-number arithmetic for large n', () => {
    const cases: [number, number, number][] = [
      [1000, 3, 100],
      [1_000_000, 1, 1000],
      [1_000_000, 17, 999_000],
      [1_000_000, 999_990, 2000],
      [200_000, 100_000, 12],
      [4000, 2500, 1500],
    ];
    for (const [n, c, N] of cases) {
      const any = 1 - choiceRatio(n - c, n, N);
      const all = choiceRatio(c, n, N);
      expect(Math.abs(passAtN({ samples: n, correct: [c] }, N).value / any - 1)).toBeLessThan(1e-11);
      const hat = passHatN({ samples: n, correct: [c] }, N).value;
      if (all > 1e-20) expect(Math.abs(hat / all - 1)).toBeLessThan(1e-11);
      else expect(hat).toBeLessThan(1e-19);
    }
  });

  it('are within 1e-12 of whole-number arithmetic over many problems, whatever the mix of n', () => {
    const ns = [4, 1000, 1000, 200, 37];
    const samples = Array.from({ length: 4000 }, (_, i) => ns[i % ns.length]!);
    const correct = samples.map((n, i) => (i * i * 7919) % (n + 1));
    const few = samples.map((_, i) => 1000 + i); // every problem has an n of its own
    for (const [n, N] of [
      [samples, 3],
      [samples.map((_, i) => 500 * (1 + (i % 2))), 100],
      [1000, 100],
      [few, 20],
    ] as const) {
      const sizes = typeof n === 'number' ? samples.map(() => n) : n;
      const right = correct.map((c, i) => Math.min(c, sizes[i]!));
      const any = mean(right.map((c, i) => 1 - choiceRatio(sizes[i]! - c, sizes[i]!, N)));
      const all = mean(right.map((c, i) => choiceRatio(c, sizes[i]!, N)));
      for (const list of [right, Int32Array.from(right), Float64Array.from(right)]) {
        const got = passAtN({ samples: n, correct: list }, N);
        expect(Math.abs(got.value - any)).toBeLessThan(1e-12);
        expect(got).toMatchObject({ method: 't', n: 4000 });
        expect(Math.abs(passHatN({ samples: n, correct: list }, N).value - all)).toBeLessThan(1e-12);
      }
      // The interval is the one that the problems, one by one, give.
      const rows = right.map((c, i) => 1 - choiceRatio(sizes[i]! - c, sizes[i]!, N));
      const variance = rows.reduce((sum, x) => sum + (x - any) ** 2, 0) / (rows.length - 1) / rows.length;
      const { lower, upper } = passAtN({ samples: n, correct: right }, N);
      expect((upper - lower) / 2 / Math.sqrt(variance)).toBeCloseTo(1.9605, 3);
      const clustered = passAtN({ samples: n, correct: right }, N, { clusters: rows.map((_, i) => i) });
      expect(clustered.value).toBeCloseTo(any, 12);
    }
    // In order among thousands, the bad one is named.
    expect(() => passAtN({ samples, correct: correct.with(3999, 38) }, 3)).toThrow('correct[3999]');
    expect(() => passAtN({ samples: samples.with(2000, 2), correct: correct.with(2000, 0) }, 3)).toThrow(
      'problem 2000',
    );
  });

  it('reproduce published figures', () => {
    const { correct } = mathAnswers();
    const pass = passAtN({ samples: 8, correct }, [1, 2, 4, 8]).map((e) => e.value);
    expect(pass.map((v) => +v.toFixed(4))).toEqual([0.91, 0.9329, 0.951, 0.96]);
    const hat = passHatN(airlineTrials(), [1, 2, 3, 4]).map((e) => e.value);
    expect(hat.map((v) => +v.toFixed(3))).toEqual([0.42, 0.273, 0.22, 0.2]);
  });

  it('give a t-interval over many problems, BCa over few, within [0, 1]', () => {
    const many = passAtN({ samples: 8, correct: mathAnswers().correct }, 2);
    expect(many).toMatchObject({ method: 't', n: 100, confidence: 0.95 });
    const few = passAtN({ samples: 4, correct: [0, 1, 4, 4, 2] }, 2, { confidence: 0.9, seed: 1 });
    expect(few).toMatchObject({ method: 'bca', n: 5, confidence: 0.9 });
    expect(few.lower).toBeGreaterThanOrEqual(0);
    expect(few.upper).toBeLessThanOrEqual(1);
    expect(passAtN({ samples: 4, correct: [0, 4, 1, 2] }, 1, { clusters: ['a', 'a', 'b', 'c'] }).method).toBe(
      'cluster-t',
    );
  });

  it('claim no certainty near saturation', () => {
    // 40 problems of 200 samples: one in ten responses is right, and Pass@100 is within 1e-8 of 1 for each of them.
    const correct = Array.from({ length: 40 }, (_, i) => 20 + i);
    const { value, lower, upper } = passAtN({ samples: 200, correct }, 100);
    expect(value).toBeGreaterThan(1 - 1e-6);
    expect(lower).toBeCloseTo(0.025 ** (1 / 40), 6);
    expect(upper).toBe(1);
    const hat = passHatN({ samples: 200, correct }, 100);
    expect(hat).toMatchObject({ value: 0, lower: 0 });
    expect(hat.upper).toBeCloseTo(1 - 0.025 ** (1 / 40), 12);
  });

  it('refuse what cannot be estimated', () => {
    const range = expect.objectContaining({ code: 'ERR_COVN_RANGE' });
    expect(() => passAtN({ samples: [8, 4], correct: [1, 1] }, 5)).toThrow(
      'Expected at most 4 (the responses recorded for problem 1) for N but received 5',
    );
    expect(() => passAtN({ samples: 4, correct: [5] }, 1)).toThrow(range);
    expect(() => passAtN({ samples: 4, correct: [-1] }, 1)).toThrow(range);
    expect(() => passAtN({ samples: 4, correct: [1.5] }, 1)).toThrow(range);
    expect(() => passAtN({ samples: 4, correct: [1] }, 0)).toThrow(range);
    expect(() => passAtN({ samples: 4, correct: [1] }, [1, 1.5])).toThrow('N[1]');
    expect(() => passHatN({ samples: [4], correct: [1, 2] }, 1)).toThrow(
      expect.objectContaining({ code: 'ERR_COVN_SHAPE' }),
    );
    expect(() => passHatN({ samples: 4, correct: [] }, 1)).toThrow('at least one problem');
    expect(() => passAtN({ samples: 4, correct: [1] }, 1, { confidense: 0.9 } as object)).toThrow('confidense');
  });
});

describe('bestOfNReward', () => {
  it('equals the mean over all subsets, with ties', () => {
    const problem = fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: -5, max: 5 })), {
      minLength: 1,
      maxLength: 7,
    });
    fc.assert(
      fc.property(problem, (rows) => {
        const [rewards, values] = [rows.map((r) => r[0]), rows.map((r) => r[1])];
        for (let N = 1; N <= rows.length; N++) {
          const best = [...subsets(rows.length, N)].map((drawn) => {
            const top = Math.max(...drawn.map((i) => rewards[i]!));
            return drawn.filter((i) => rewards[i] === top).map((i) => values[i]!);
          });
          const given = { rewards, values, offsets: [0, rows.length] };
          expect(bestOfNReward(given, N).value).toBeCloseTo(mean(best.map(mean)), 12);
          expect(bestOfNReward(given, N, { ties: 'first' }).value).toBeCloseTo(mean(best.map((v) => v[0]!)), 12);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('is Pass@N when the reward is the correctness, at n = 1e6', () => {
    const n = 1_000_000;
    const rewards = new Float64Array(n).fill(1, 0, 1000);
    for (const N of [1, 700, 5000]) {
      const expected = passAtN({ samples: n, correct: [1000] }, N).value;
      expect(Math.abs(bestOfNReward({ rewards, offsets: [0, n] }, N).value / expected - 1)).toBeLessThan(1e-10);
    }
  });

  it('reproduces the recorded reward-model figures', () => {
    const { rewards, values, offsets } = mathAnswers();
    const best = bestOfNReward({ rewards, values, offsets }, [1, 2, 4, 8], { ties: 'first', range: [0, 1] });
    expect(best.map((e) => +e.value.toFixed(4))).toEqual([0.91, 0.9279, 0.9361, 0.94]);
  });

  it('accepts infinite rewards when values say what a response is worth', () => {
    const rewards = [-Infinity, 2, Infinity, -Infinity];
    expect(bestOfNReward({ rewards, values: [1, 2, 3, 4], offsets: [0, 4] }, 4).value).toBe(3);
    expect(() => bestOfNReward({ rewards, offsets: [0, 4] }, 1)).toThrow(
      expect.objectContaining({ code: 'ERR_COVN_NON_FINITE' }),
    );
  });

  it('refuses bad shapes, naming the place', () => {
    const rewards = [1, 2, 3];
    expect(() => bestOfNReward({ rewards: [1, Number.NaN, 3], offsets: [0, 3] }, 1)).toThrow('rewards[1]');
    expect(() => bestOfNReward({ rewards, offsets: [0, 2, 1, 3] }, 1)).toThrow('offsets[2]');
    expect(() => bestOfNReward({ rewards, offsets: [1, 3] }, 1)).toThrow('offsets[0]');
    expect(() => bestOfNReward({ rewards, offsets: [0, 2] }, 1)).toThrow(
      'Expected 3 (the number of rows) for the last element of offsets',
    );
    expect(() => bestOfNReward({ rewards, values: [1], offsets: [0, 3] }, 1)).toThrow('values');
    expect(() => bestOfNReward({ rewards, offsets: [0, 2, 3] }, [1, 2])).toThrow('problem 1');
    expect(() => bestOfNReward({ rewards, offsets: [0, 3, 3] }, 1)).toThrow('at most 0');
    expect(() => bestOfNReward({ rewards, offsets: [0, 3] }, 1, { ties: 'last' as 'first' })).toThrow('ties');
  });
});
