/** A float64 oracle for pairs of models; nothing here is shared with the library. */

import { Neumaier } from './logprob.ts';

function logProbs(x: ArrayLike<number>, temperature: number): Float64Array {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < x.length; i++) max = Math.max(max, x[i]!);
  const sum = new Neumaier();
  for (let i = 0; i < x.length; i++) sum.add(Math.exp((x[i]! - max) / temperature));
  const logSum = Math.log(sum.total());
  return Float64Array.from(x, (value) => (value - max) / temperature - logSum);
}

/** One token of two models: log ratio of the target, KL(reference ‖ model) and squared Hellinger distance. */
export function scorePairRow(a: ArrayLike<number>, b: ArrayLike<number>, target: number, temperature = 1) {
  const [logP, logQ] = [logProbs(a, temperature), logProbs(b, temperature)];
  const [kl, hellinger] = [new Neumaier(), new Neumaier()];
  logP.forEach((p, i) => {
    const q = logQ[i]!;
    if (p > Number.NEGATIVE_INFINITY) kl.add(Math.exp(p) * (p - q));
    hellinger.add((Math.exp(p / 2) - Math.exp(q / 2)) ** 2 / 2);
  });
  return { logRatio: logP[target]! - logQ[target]!, kl: kl.total(), hellinger: hellinger.total() };
}
