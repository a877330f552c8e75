import { describe, expect, it } from 'vitest';
import { coverageProfile, passAtN, passBracket } from '../lib/index.ts';
import { testRandom } from './oracles/logprob.ts';

const random = testRandom(2024);

/** A distribution over K responses whose probabilities span several powers of ten; some are 0. */
function distribution(K: number, zeros: number): number[] {
  const raw = Array.from({ length: K }, () => (random.uniform() < zeros ? 0 : Math.exp(3 * random.normal())));
  const total = raw.reduce((a, b) => a + b, 0);
  return total > 0 ? raw.map((p) => p / total) : distribution(K, 0);
}

interface Instance {
  /** [prompts][responses] */
  data: number[][];
  model: number[][];
}

function instance(): Instance {
  const [prompts, K] = [1 + random.integer(3), 2 + random.integer(6)];
  const each = (zeros: number) => Array.from({ length: prompts }, () => distribution(K, zeros));
  const data = each(0.2);
  // Half of the models are pi_D moved a little: small coverages.
  const near = random.uniform() < 0.5;
  const model = near ? data.map((row) => row.map((p) => p * 0.98 + 0.02 / K)) : each(0.1);
  return { data, model };
}

/** The exact profile of an instance: log ratios weighed by their probability under pi_D. */
function profileOf({ data, model }: Instance) {
  const all = data.flatMap((row, x) => row.map((p, y) => ({ p, q: model[x]![y]! }))).filter(({ p }) => p > 0);
  const halves = [...all, ...all]; // a profile takes at least two responses
  const logRatios = halves.map(({ p, q }) => Math.log(p) - Math.log(q));
  return coverageProfile(logRatios, { weights: halves.map(({ p }) => p / data.length / 2) });
}

const massOf = (row: number[], set: number) => row.reduce((sum, p, y) => ((set >> y) & 1 ? sum + p : sum), 0);

/** Regret of Best-of-N for the 0/1 reward that is 1 on a set of responses to one prompt. */
const regret = (data: number[], model: number[], set: number, N: number) =>
  massOf(data, set) - (1 - (1 - Math.min(1, massOf(model, set))) ** N);

/**
 * The regret of the worst reward in [0, 1], by enumeration: it is that of a 0/1 reward, chosen for each prompt by itself,
 * as max r = integral of 1{max r > t} dt makes the regret of any reward a mean of those of its level sets.
 */
function worstRegret({ data, model }: Instance, N: number): number {
  const worst = data.map((row, x) => {
    let most = 0;
    for (let set = 1; set < 2 ** row.length; set++) most = Math.max(most, regret(row, model[x]!, set, N));
    return most;
  });
  return worst.reduce((a, b) => a + b, 0) / data.length;
}

/** Expected reward of the best of N draws. */
function bestOfN(model: number[], rewards: number[], N: number): number {
  const levels = [...new Set(rewards)].sort((a, b) => a - b);
  const atMost = (level: number) => rewards.reduce((sum, r, y) => (r <= level ? sum + model[y]! : sum), 0);
  return levels.reduce((sum, level, k) => {
    const below = k === 0 ? 0 : atMost(levels[k - 1]!) ** N;
    return sum + level * (atMost(level) ** N - below);
  }, 0);
}

describe('Prop D.6 and D.7', () => {
  it('bracket the regret of the worst reward on 1,000 random instances', () => {
    const slack = 1e-12;
    let tight = 0;
    for (let k = 0; k < 1000; k++) {
      const it = instance();
      const profile = profileOf(it);
      for (const N of [1, 2, 3, 8, 50, 1000]) {
        const { lower, upper } = profile.bestOfN(N);
        const worst = worstRegret(it, N);
        expect(worst).toBeGreaterThanOrEqual(lower - slack);
        expect(worst).toBeLessThanOrEqual(upper + slack);
        if (upper < 0.2 && worst > lower + 0.001) tight++;
        const rewards = it.data[0]!.map(() => random.uniform());
        const losses = it.data.map(
          (row, x) => row.reduce((sum, p, y) => sum + p * rewards[y]!, 0) - bestOfN(it.model[x]!, rewards, N),
        );
        expect(losses.reduce((a, b) => a + b, 0) / losses.length).toBeLessThanOrEqual(Math.min(upper, worst) + slack);
      }
    }
    expect(tight).toBeGreaterThan(100); // not because every bound was 1
  });

  it('promise Pass@N for every set of right responses, whatever the accuracy of pi_D', () => {
    for (let k = 0; k < 200; k++) {
      const it = instance();
      const profile = profileOf(it);
      const N = [1, 4, 16, 64];
      const sets = it.data.map((row) => random.integer(2 ** row.length));
      const accuracy = Math.min(1, it.data.reduce((sum, row, x) => sum + massOf(row, sets[x]!), 0) / it.data.length);
      const probability = it.model.map((row, x) => Math.min(1, massOf(row, sets[x]!)));
      for (const row of passBracket(profile, N, passAtN({ probability }, N), { accuracy })) {
        expect(row.measured.value).toBeGreaterThanOrEqual(row.lower - 1e-12);
        expect(row.band.lower).toBeLessThanOrEqual(row.lower);
        expect(row.band.upper).toBeGreaterThanOrEqual(row.upper);
        expect(row.contradicts).toBe(false);
        expect(row.inside).toBe(row.measured.value >= row.lower && row.measured.value <= row.upper);
      }
    }
  });
});

describe('passBracket', () => {
  // paper.md, instance 7, exactly: the path of the prompt's class is the only right response.
  const mixture = (q: number) => ({
    profile: coverageProfile([-Math.log(q), -Math.log(1 - q)], { weights: [0.9, 0.1] }),
    probability: [...new Array<number>(9).fill(q), 1 - q],
  });

  it('of the two-mode mixture holds its Pass@N', () => {
    for (const [q, pass] of [
      [0.9, '0.9570'],
      [0.5, '0.9961'],
    ] as const) {
      const { profile, probability } = mixture(q);
      const [row] = passBracket(profile, [8], passAtN({ probability }, [8]));
      expect(row!.measured.value.toFixed(4)).toBe(pass);
      expect(row!.lower).toBeCloseTo(1 - profile.bestOfN(8).upper, 14);
      expect(row!.upper).toBe(1 - profile.bestOfN(8).lower);
      expect(row!.measured.value).toBeGreaterThan(row!.lower);
    }
    // At q = 0.9, N = 4: Cov_8 = 0.1, and Pass@4 is within the bracket, 1 - 0.1 / 2 at most.
    const { profile, probability } = mixture(0.9);
    const rows = passBracket(profile, [4, 64], passAtN({ probability }, [4, 64]));
    expect(rows.map(({ upper, inside }) => [upper, inside])).toEqual([
      [0.95, true],
      [1, true],
    ]);
  });

  it('says where measurement and profile cannot both be true', () => {
    const profile = coverageProfile(new Float64Array(100_000)); // the model is pi_D
    const [row] = passBracket(profile, [64], passAtN({ samples: 64, correct: new Int32Array(200) }, [64]));
    expect(row).toMatchObject({ inside: false, contradicts: true, upper: 1 });
    const accuracy = 0.01;
    const [low] = passBracket(profile, [64], passAtN({ samples: 64, correct: new Int32Array(200) }, [64]), {
      accuracy,
    });
    expect(low).toMatchObject({ inside: false, contradicts: false, lower: 0.01 - profile.bestOfN(64).upper });
  });

  it('refuses what does not fit', () => {
    const { profile, probability } = mixture(0.9);
    const measured = passAtN({ probability }, [1, 2]);
    expect(() => passBracket(profile, [1], measured)).toThrow('Expected 1 estimates for measured');
    expect(() => passBracket({} as never, [1, 2], measured)).toThrow('a CoverageProfile');
    expect(() => passBracket(profile, [1, 0.5], measured)).toThrow('N[1]');
    expect(() => passBracket(profile, 1 as never, measured)).toThrow('an array of numbers');
    expect(() => passBracket(profile, [1, 2], measured, { accuracy: 2 })).toThrow('accuracy');
    expect(() => passBracket(profile, [1, 2], [1, 2] as never)).toThrow('measured[0]');
  });
});
