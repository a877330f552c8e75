/** Generations of the models themselves: what the offset of Eq. 32 is estimated from. */

import { nonFiniteError, rangeError, shapeError, typeError } from '../errors.ts';
import { type ClusterIds, clusterIds, type EstimateOptions } from '../estimate/index.ts';
import { privateCopy } from '../native/index.ts';
import { checkKnownKeys, checkNumber, checkObject, checkOffsets, type NumberList } from '../validate.ts';
import { checkLogProbs } from './input.ts';

/** Log-probs, under all models, of responses that the models generated. */
export interface OnPolicyLogProbs {
  /**
   * [models, G], row-major, nats: log pi_m(y_g | x_g) of generation g, in the order of the models that drew them.
   * -Infinity is fine but under the model that drew the response.
   */
  readonly logProbs: Float64Array;
  /** [models + 1], from 0 to G: model i drew the generations offsets[i] .. offsets[i + 1], at least one. */
  readonly offsets: NumberList;
  /** [G]: one label per generation; those of one model with the same label (the same prompt) are dependent. */
  readonly clusters?: NonNullable<EstimateOptions['clusters']>;
}

/** What makes a tournament the offset tournament. */
export interface OnPolicyInput extends OnPolicyLogProbs {
  /** a >= 0 of Eq. 32: the offset is weighed by 2 N^a. Default 0. */
  readonly exponent?: number;
}

/** The generations of one model. */
export interface Generations {
  /** Columns `from` .. `to` of the log-probs. */
  readonly from: number;
  readonly to: number;
  /** What the bootstrap draws: each generation, or the clusters of them. */
  readonly units: ClusterIds;
  /** Whether the units are clusters. */
  readonly clustered: boolean;
}

/** {@link OnPolicyInput} that was checked, and that nobody else can change. */
export interface OnPolicy {
  readonly logProbs: Float64Array;
  /** G */
  readonly total: number;
  /** [models] */
  readonly generations: readonly Generations[];
  readonly exponent: number;
}

/** The factor 2 N^a of Eq. 32. */
export const offsetWeight = (N: number, exponent: number): number => 2 * N ** exponent;

/** @throws TypeError, RangeError, CovnError ERR_COVN_NON_FINITE */
export function checkOnPolicy(input: OnPolicyInput, models: number, Ns: readonly number[]): OnPolicy {
  checkObject(input, 'onPolicy');
  checkKnownKeys(input, ['logProbs', 'offsets', 'clusters', 'exponent'], 'onPolicy');
  if (!(input.logProbs instanceof Float64Array)) throw typeError('a Float64Array', 'onPolicy.logProbs', input.logProbs);
  if (input.logProbs.length % models !== 0) {
    throw shapeError(`models * G = ${models} * G elements`, 'onPolicy.logProbs', `${input.logProbs.length}`);
  }
  const logProbs = privateCopy(input.logProbs);
  const total = logProbs.length / models;
  const offsets = checkOffsets(input.offsets, total);
  if (offsets.length !== models + 1) throw shapeError(`${models + 1} elements`, 'offsets', `${offsets.length}`);
  checkLogProbs(logProbs, total, 'onPolicy.logProbs', 'generation');
  const exponent = checkNumber(input.exponent ?? 0, 'exponent', 0);
  for (const N of Ns) {
    if (!Number.isFinite(offsetWeight(N, exponent))) throw rangeError('an N^a that is finite', 'exponent', exponent);
  }
  const labels = input.clusters && clusterIds(input.clusters, total).ids;
  const generations = Array.from({ length: models }, (_, model) => {
    const [from, to] = [offsets[model]!, offsets[model + 1]!];
    if (from === to)
      throw rangeError('at least one generation of each model', 'offsets', offsets, `none of model ${model}`);
    for (let g = from; g < to; g++) {
      if (logProbs[model * total + g] === Number.NEGATIVE_INFINITY) {
        const place = `onPolicy.logProbs[${model * total + g}] (generation ${g}, which model ${model} drew)`;
        throw nonFiniteError("a finite log-prob of the model's own generation", place, '-Infinity');
      }
    }
    const ids = labels?.subarray(from, to) ?? Int32Array.from({ length: to - from }, (_, g) => g);
    const units = clusterIds(ids, to - from);
    if (labels && units.count < 2) throw rangeError('at least 2', `clusters of model ${model}`, units.count);
    return { from, to, units, clustered: labels !== undefined };
  });
  return { logProbs, total, generations, exponent };
}
