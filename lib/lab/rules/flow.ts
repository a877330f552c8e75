/** What tiny steps come to: mean gradients followed as a flow, in closed form. */

import type { TheoryStep } from '../../learn/index.ts';
import { coverageAt, type Instance, tokenKl, tokenLogs } from './instance.ts';

/** The mean gradient of log pi_theta(y|x) under pi_D, over the first `tokensOf` tokens of a response to each prompt. */
function meanGradient(instance: Instance, theta: Float64Array, tokensOf: (prompt: number) => number): Float64Array {
  const gradient = new Float64Array(theta.length);
  for (const [prompt, weight] of instance.mu.entries()) {
    const [p, q] = [instance.star, theta].map((at) => tokenLogs(instance, at, prompt).map(Math.exp));
    const tokens = weight * tokensOf(prompt);
    for (const [a, phi] of instance.features[prompt]!.entries()) {
      for (const [i, x] of phi.entries()) gradient[i]! += tokens * (p![a]! - q![a]!) * x;
    }
  }
  return gradient;
}

const norm = (vector: Float64Array) => Math.hypot(...vector);

/** The largest change of a logit in one step of the flow. */
const resolution = 0.02;

/**
 * How many tiny steps lead from the start to coverage of at most `enough`: the length of the flow along the mean gradient,
 * divided by the step size.
 * @param rule `A` of truncated SGD, which uses as many tokens as its running KL allows; `lambda`: of normalised SGD,
 *   with batches so large that gradients are their means
 */
export function flowSteps(instance: Instance, enough: number, { stepSize, lambda, A }: TheoryStep): number {
  const tokens = instance.informative ?? instance.H;
  let theta = Float64Array.from(instance.start);
  let steps = 0;
  for (let k = 0; k < 100_000; k++) {
    if (coverageAt(instance, theta, enough) <= enough) return steps;
    const at = theta;
    const tokensOf = (prompt: number) =>
      A === undefined ? tokens : Math.min(tokens, A / tokenKl(instance, at, prompt));
    const gradient = meanGradient(instance, theta, tokensOf);
    const changes = instance.features.flatMap((phis) =>
      phis.map((phi) => Math.abs(phi.reduce((sum, x, i) => sum + x * gradient[i]!, 0))),
    );
    const time = resolution / Math.max(...changes);
    // A normalised step is as long as stepSize |g| / (lambda + |g|).
    steps += (time / stepSize) * (lambda === undefined ? 1 : lambda + norm(gradient));
    theta = theta.map((x, i) => x + time * gradient[i]!);
    const length = norm(theta);
    if (length > 1) theta = theta.map((x) => x / length);
  }
  return Number.POSITIVE_INFINITY;
}
