import fc from 'fast-check';

/** Two autoregressive distributions over V^H, enumerated; everything is summed exactly over all responses. */
export interface Pair {
  /** pi_D(y) and pi(y) of each response y. */
  readonly p: number[];
  readonly q: number[];
  /** Sums over the steps of y of KL and squared Hellinger between the next-token distributions. */
  readonly stepKl: number[];
  readonly stepHellinger: number[];
}

const normalise = (weights: number[]): number[] => {
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => (sum > 0 ? w / sum : 1 / weights.length));
};

export const kl = (p: number[], q: number[]): number =>
  p.reduce((sum, pi, i) => (pi > 0 ? sum + pi * Math.log(pi / q[i]!) : sum), 0);

export const hellinger = (p: number[], q: number[]): number =>
  p.reduce((sum, pi, i) => sum + (Math.sqrt(pi) - Math.sqrt(q[i]!)) ** 2, 0) / 2;

export const ratio = (pair: Pair, y: number): number => Math.log(pair.p[y]! / pair.q[y]!);

/** P over pi_D of a condition on y. */
export const probability = (pair: Pair, condition: (y: number) => boolean): number =>
  Math.min(
    1,
    pair.p.reduce((sum, p, y) => (p > 0 && condition(y) ? sum + p : sum), 0),
  );

export const coverage = (pair: Pair, N: number): number => probability(pair, (y) => ratio(pair, y) >= Math.log(N));

export const stoppedKl = (pair: Pair, N: number): number =>
  pair.p.reduce((sum, p, y) => (p > 0 ? sum + p * Math.min(Math.log(N), pair.stepKl[y]!) : sum), 0);

/** Expected reward of Best-of-N: the reward of the best of N independent draws from q. */
export function bestOfNValue(q: number[], reward: number[], N: number): number {
  const levels = [...new Set(reward)].sort((a, b) => a - b);
  let below = 0;
  let value = 0;
  for (const level of levels) {
    const upTo = q.reduce((sum, qi, y) => (reward[y]! <= level ? sum + qi : sum), 0);
    value += level * (upTo ** N - below ** N);
    below = upTo;
  }
  return value;
}

export const regret = (pair: Pair, reward: number[], N: number): number =>
  pair.p.reduce((sum, p, y) => sum + p * reward[y]!, 0) - bestOfNValue(pair.q, reward, N);

function enumerate(vocab: number, length: number, pWeights: number[], qWeights: number[]): Pair {
  let level = [{ p: 1, q: 1, stepKl: 0, stepHellinger: 0 }];
  let used = 0;
  for (let h = 0; h < length; h++) {
    const next: typeof level = [];
    for (const prefix of level) {
      const a = normalise(pWeights.slice(used, used + vocab));
      const b = normalise(qWeights.slice(used, used + vocab));
      used += vocab;
      const stepKl = prefix.stepKl + kl(a, b);
      const stepHellinger = prefix.stepHellinger + hellinger(a, b);
      for (let v = 0; v < vocab; v++) next.push({ p: prefix.p * a[v]!, q: prefix.q * b[v]!, stepKl, stepHellinger });
    }
    level = next;
  }
  return {
    p: level.map((y) => y.p),
    q: level.map((y) => y.q),
    stepKl: level.map((y) => y.stepKl),
    stepHellinger: level.map((y) => y.stepHellinger),
  };
}

const weight = fc.oneof(fc.constant(0), fc.double({ min: -6, max: 6, noNaN: true }).map(Math.exp));

/** Random pairs over 2 to 27 responses, some with zero probabilities. */
export const pairs: fc.Arbitrary<Pair> = fc
  .record({ vocab: fc.integer({ min: 2, max: 3 }), length: fc.integer({ min: 1, max: 3 }) })
  .chain(({ vocab, length }) => {
    const count = (vocab * (vocab ** length - 1)) / (vocab - 1);
    const list = fc.array(weight, { minLength: count, maxLength: count });
    return fc.tuple(list, list).map(([p, q]) => enumerate(vocab, length, p, q));
  });

/** Thresholds N > 1, spread over the scale of the ratios. */
export const thresholds = fc.double({ min: 0.001, max: 12, noNaN: true }).map(Math.exp);
