/** Autoregressive linear models (Eq. 3) as plain loops over dense arrays. */

import type { LinearInput, TabularInput } from '../../lib/index.ts';
import { random, randomMachine } from '../support/machines.ts';

/** A dense machine with features: [states, vocab, dimension]. */
export interface PlainLinear {
  readonly machine: TabularInput;
  readonly dimension: number;
  readonly features: Float64Array;
}

export const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, x, i) => sum + x * b[i]!, 0);

const normal = (draw: () => number): number => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());

interface Shape {
  readonly dimension?: number;
  /** Standard deviation of the features. */
  readonly scale?: number;
  readonly states?: number;
  readonly vocab?: number;
  readonly prompts?: number;
}

export function randomLinear(seed: number, { dimension = 3, scale = 1, ...machine }: Shape = {}): PlainLinear {
  const draw = random(seed + 1000);
  const made = randomMachine(seed, { zeros: 0, ...machine });
  const features = Float64Array.from({ length: made.next.length * dimension }, () => scale * normal(draw));
  return { machine: made, dimension, features };
}

export function randomTheta(seed: number, dimension: number, scale = 1): Float64Array {
  const draw = random(seed + 2000);
  return Float64Array.from({ length: dimension }, () => scale * normal(draw));
}

export function linearInput({ machine, dimension, features }: PlainLinear, theta?: Float64Array): LinearInput {
  const { logProbs: _, ...rest } = machine;
  return { ...rest, dimension, features, ...(theta && { theta }) };
}

/** The same features, sparse, those that are 0 left out. */
export function sparseFeatures({ dimension, features }: PlainLinear) {
  const [offsets, ids, values] = [[0], [] as number[], [] as number[]];
  for (let e = 0; e * dimension < features.length; e++) {
    for (let k = 0; k < dimension; k++) {
      if (features[e * dimension + k] === 0) continue;
      ids.push(k);
      values.push(features[e * dimension + k]!);
    }
    offsets.push(ids.length);
  }
  return {
    featureOffsets: offsets,
    featureIds: Int32Array.from(ids),
    featureValues: Float64Array.from(values),
  };
}

export const featureRow = ({ dimension, features }: PlainLinear, entry: number): Float64Array =>
  features.subarray(entry * dimension, (entry + 1) * dimension);

/** [vocab]: log-probs of a state's tokens. */
export function tokenLogProbs(model: PlainLinear, state: number, theta: ArrayLike<number>): number[] {
  const { vocab } = model.machine;
  const logits = Array.from({ length: vocab }, (_, t) => dot(featureRow(model, state * vocab + t), theta));
  const most = Math.max(...logits);
  const logSum = Math.log(logits.reduce((sum, x) => sum + Math.exp(x - most), 0));
  return logits.map((x) => x - most - logSum);
}

/** The model at some parameters, as a table. */
export function tabular(model: PlainLinear, theta: ArrayLike<number>): TabularInput {
  const { machine } = model;
  const states = machine.next.length / machine.vocab;
  const rows = Array.from({ length: states }, (_, s) => tokenLogProbs(model, s, theta));
  return { ...machine, logProbs: Float64Array.from(rows.flat()) };
}

/** States and tokens of a response. */
export function walk({ machine }: PlainLinear, prompt: number, tokens: ArrayLike<number>) {
  let state = machine.start[prompt]!;
  return Array.from(tokens, (token) => {
    const step = { state, token };
    state = machine.next[state * machine.vocab + token]!;
    return step;
  });
}

/** phi(x, y_1:h) - phibar(x, y_<h). */
export function tokenGradient(model: PlainLinear, state: number, token: number, theta: ArrayLike<number>): number[] {
  const { vocab } = model.machine;
  const gradient = Array.from(featureRow(model, state * vocab + token));
  for (const [t, logProb] of tokenLogProbs(model, state, theta).entries()) {
    const row = featureRow(model, state * vocab + t);
    for (let k = 0; k < gradient.length; k++) gradient[k]! -= Math.exp(logProb) * row[k]!;
  }
  return gradient;
}
