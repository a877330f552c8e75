import { describe, expect, it } from 'vitest';
import { passAtN, passHatN } from '../lib/best-of-n/index.ts';
import { testRandom } from './oracles/logprob.ts';
import { avoidProbability } from './oracles/rational.ts';

const error = (value: number, exact: number) => Math.abs(value / exact - 1);

describe('passAtN and passHatN for many samples', () => {
  const check = (n: number, c: number, N: number) => {
    const { avoid, hit } = avoidProbability(n, c, N);
    const what = `n = ${n}, c = ${c}, N = ${N}`;
    const right = { samples: n, correct: [c] };
    if (hit > 0) expect(error(passAtN(right, N).value, hit), what).toBeLessThan(1e-11);
    // With the other n - c marked, all of N right ones are what avoids them.
    const all = passHatN({ samples: n, correct: [n - c] }, N).value;
    if (avoid > 1e-250) expect(error(all, avoid), what).toBeLessThan(1e-11);
    else expect(all, what).toBeLessThan(1e-249);
  };

  it('have a relative error below 1e-11 up to n = 2^31 and beyond', () => {
    const n = 2 ** 31;
    for (const [c, N] of [
      [n / 2, 1000],
      [1000, n / 2],
      [1, 1],
      [1, 1000],
      [1, n - 1],
      [2, 100_000],
      [5, n - 5],
      [n - 5, 5],
      [3000, n - 3000],
      [17, n - 20],
      [40, n - 40],
      [40, n - 41],
      [4096, 2 ** 20],
      [50_000, 50_000],
      [20_000, 300_000],
      [65, 65],
      [17, 17],
      [100, 3],
      [n, 1],
      [0, 1000],
    ] as const) {
      check(n, c, N);
    }
    for (const [c, N] of [
      [1, 2 ** 52],
      [30_000, 2 ** 38],
      [2 ** 26, 2 ** 12],
    ] as const) {
      check(2 ** 53 - 1, c, N);
    }
  });

  it('and for every small n, where few and many factors meet', () => {
    for (const n of [33, 34, 40, 100, 331]) {
      for (let c = 0; c <= n; c += n > 100 ? 7 : 1) for (let N = 1; N <= n; N += n > 100 ? 5 : 1) check(n, c, N);
    }
  });

  it('and at random', () => {
    const random = testRandom(12);
    for (let k = 0; k < 300; k++) {
      const n = Math.floor(2 ** (5 + 26 * random.uniform()));
      const few = Math.floor(Math.min(n, 3000) ** random.uniform());
      const many = Math.floor(n ** random.uniform());
      check(n, few, many);
      check(n, many, few);
    }
  });
});

describe('exact success probabilities', () => {
  const one = (p: number, N: number) => passAtN({ probability: [p] }, N).value;

  it('give 1 - (1 - p)^N and p^N, also where either is tiny', () => {
    expect(one(0.25, 2)).toBe(0.4375);
    expect(error(one(1e-20, 1000), 1e-17)).toBeLessThan(1e-12);
    expect(error(one(2 ** -53, 2 ** 53 - 1), 1 - Math.exp(-1))).toBeLessThan(1e-12);
    expect([one(0, 8), one(1, 1), one(1, 2 ** 53 - 1)]).toEqual([0, 1, 1]);
    expect(Object.is(one(0, 8), 0)).toBe(true);
    const hat = passHatN({ probability: Float64Array.of(0.5, 0.25) }, [1, 2, 10]).map((e) => e.value);
    expect(hat).toEqual([0.375, 0.15625, (2 ** -10 + 2 ** -20) / 2]);
    expect(passAtN({ probability: [0.1, 0.9] }, 3)).toMatchObject({ n: 2, method: 'bca', confidence: 0.95 });
  });

  // paper.md, instance 7: a response class is chosen with probability 0.9 / 0.1, and a model puts q on the path of the
  // first, 1 - q on that of the second. KL is least at q = 0.9.
  it('two-mode mixture: Pass@8 is 0.9570 where KL is least and 0.9961 at q = 1/2', () => {
    const mixture = (q: number) => {
      const problems = Array.from({ length: 10 }, (_, i) => (i < 9 ? q : 1 - q));
      return passAtN({ probability: problems }, 8).value;
    };
    expect(mixture(0.9)).toBeCloseTo(0.9 * (1 - 0.1 ** 8) + 0.1 * (1 - 0.9 ** 8), 14);
    expect(mixture(0.9).toFixed(4)).toBe('0.9570');
    expect(mixture(0.5).toFixed(4)).toBe('0.9961');
  });

  it('are what counts estimate without bias: the exact mean over all outcomes of n draws', () => {
    const n = 12;
    const choose = (k: number) => Array.from({ length: k }, (_, i) => (n - i) / (i + 1)).reduce((a, b) => a * b, 1);
    for (const p of [0.03, 0.5, 0.8]) {
      for (const N of [1, 3, 12]) {
        let [any, all] = [0, 0];
        for (let c = 0; c <= n; c++) {
          const weight = choose(c) * p ** c * (1 - p) ** (n - c);
          any += weight * passAtN({ samples: n, correct: [c] }, N).value;
          all += weight * passHatN({ samples: n, correct: [c] }, N).value;
        }
        expect(any).toBeCloseTo(one(p, N), 12);
        expect(all).toBeCloseTo(passHatN({ probability: [p] }, N).value, 12);
      }
    }
  });

  it('refuse what is no probability', () => {
    const range = expect.objectContaining({ code: 'ERR_COVN_RANGE' });
    for (const p of [-0.1, 1.1, Number.NaN]) expect(() => passAtN({ probability: [0.5, p] }, 1)).toThrow(range);
    expect(() => passAtN({ probability: [0.5, 2] }, 1)).toThrow('Expected a number in [0, 1] for probability[1]');
    expect(() => passHatN({ probability: [] }, 1)).toThrow('at least one problem');
    expect(() => passHatN({ probability: [0.5], samples: 3 } as never, 1)).toThrow('samples');
    expect(() => passAtN({ probability: [0.5] }, 2 ** 53)).toThrow(range);
    expect(() => passAtN(3 as never, 1)).toThrow('Expected an object for the input');
  });
});
