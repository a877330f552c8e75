/** Instances on which the learning rules differ: tokens are independent and alike, so everything has a closed form. */

import { PhiloxStream } from '../../estimate/index.ts';
import { type ModelOptions, type Responses, TabularModel } from '../../model/index.ts';
import { iidCoverage, iidKl } from '../iid.ts';

/** Autoregressive linear models (Eq. 3) whose features know the prompt and the token alone. */
export interface Instance {
  /** Tokens of a response. */
  readonly H: number;
  /** Of these, the first so many have features; after the others each token is as likely. Default: all. */
  readonly informative?: number;
  /** [prompts] */
  readonly mu: readonly number[];
  /** phi, [prompts][tokens][dimension]. A prompt has its own number of tokens. */
  readonly features: readonly (readonly (readonly number[])[])[];
  /** pi_D is the model at theta*. */
  readonly star: readonly number[];
  readonly start: readonly number[];
  /** log N of the coverage asked for. */
  readonly logN: number;
}

const dot = (a: readonly number[], b: ArrayLike<number>) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** log pi_theta of each token after a prompt. */
export function tokenLogs({ features }: Instance, theta: ArrayLike<number>, prompt: number): number[] {
  const logits = features[prompt]!.map((phi) => dot(phi, theta));
  const largest = Math.max(...logits);
  const log = largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
  return logits.map((logit) => logit - log);
}

const informativeOf = ({ H, informative = H }: Instance) => informative;

/** Cov_N of the model at theta after one prompt, exactly. */
export const promptCoverage = (instance: Instance, theta: ArrayLike<number>, prompt: number): number =>
  iidCoverage(
    tokenLogs(instance, instance.star, prompt),
    tokenLogs(instance, theta, prompt),
    informativeOf(instance),
    instance.logN,
  );

/**
 * Cov_N of the model at theta, exactly.
 * @param enough stop adding prompts beyond this: the result is then some number above it
 */
export function coverageAt(instance: Instance, theta: ArrayLike<number>, enough = 1): number {
  // Prompts of two tokens first: they cost one tail, those of three a sum of them.
  const order = [...instance.mu.keys()].sort((a, b) => instance.features[a]!.length - instance.features[b]!.length);
  let total = 0;
  for (const prompt of order) {
    total += instance.mu[prompt]! * promptCoverage(instance, theta, prompt);
    if (total > enough) break;
  }
  return total;
}

/** KL of one token after a prompt, nats. */
export const tokenKl = (instance: Instance, theta: ArrayLike<number>, prompt: number): number =>
  iidKl(tokenLogs(instance, instance.star, prompt), tokenLogs(instance, theta, prompt), 1);

/** D_KL(pi_D ‖ pi_theta), nats, exactly. */
export const klAt = (instance: Instance, theta: ArrayLike<number>): number =>
  informativeOf(instance) *
  instance.mu.reduce((sum, weight, prompt) => sum + weight * tokenKl(instance, theta, prompt), 0);

/** sigma*^2 (Eq. 8), exactly. */
export function varianceOf(instance: Instance): number {
  return instance.mu.reduce((sum, weight, prompt) => {
    const features = instance.features[prompt]!;
    const p = tokenLogs(instance, instance.star, prompt).map(Math.exp);
    const mean = instance.star.map((_, i) => features.reduce((total, phi, a) => total + p[a]! * phi[i]!, 0));
    const spread = features.reduce(
      (total, phi, a) => total + p[a]! * phi.reduce((square, x, i) => square + (x - mean[i]!) ** 2, 0),
      0,
    );
    return sum + weight * informativeOf(instance) * spread;
  }, 0);
}

/** The machine of an instance, a state for every token of every prompt, and its features. */
export function machineOf({ H, informative = H, features, star }: Instance) {
  const [tokens, next, offsets, values]: [number[], number[], number[], number[]] = [[], [], [0], []];
  for (let state = 0; state < features.length * H; state++) {
    const h = state % H;
    for (const [a, phi] of features[Math.floor(state / H)]!.entries()) {
      tokens.push(a);
      next.push(h === H - 1 ? -1 : state + 1);
      for (const x of phi) values.push(h < informative ? x : 0);
    }
    offsets.push(tokens.length);
  }
  return {
    vocab: Math.max(...features.map((phis) => phis.length)),
    tokens: Int32Array.from(tokens),
    next: Int32Array.from(next),
    offsets: Float64Array.from(offsets),
    start: Int32Array.from(features, (_, prompt) => prompt * H),
    dimension: star.length,
    features: Float64Array.from(values),
  };
}

/** pi_D. */
export function dataModel(instance: Instance): TabularModel {
  const { features: _, dimension: __, ...machine } = machineOf(instance);
  const logs = instance.features.map((phis, prompt) => ({
    first: tokenLogs(instance, instance.star, prompt),
    later: phis.map(() => -Math.log(phis.length)),
  }));
  const { H, informative = H } = instance;
  const logProbs = logs.flatMap(({ first, later }) =>
    Array.from({ length: H }, (_, h) => (h < informative ? first : later)).flat(),
  );
  return new TabularModel({ ...machine, logProbs: Float64Array.from(logProbs) });
}

/** n pairs from mu and pi_D, in an order that does not depend on n. */
export async function drawData(instance: Instance, n: number, seed: number, job: ModelOptions): Promise<Responses> {
  const random = new PhiloxStream(seed, 0, 5);
  const edges = instance.mu.map((_, prompt) => instance.mu.slice(0, prompt + 1).reduce((a, b) => a + b));
  const last = edges.length - 1;
  const prompts = Int32Array.from({ length: n }, () => {
    const u = random.uniform();
    const found = edges.findIndex((edge) => u < edge);
    return found < 0 ? last : found;
  });
  const samples = Float64Array.from({ length: n }, (_, i) => i);
  return dataModel(instance).sample(prompts, { samples, seed, maxLength: instance.H }, job);
}
