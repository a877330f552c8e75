import { setImmediate } from 'node:timers/promises';
import { rangeError, shapeError, typeError } from '../errors.ts';
import {
  type ClusterIds,
  checkConfidence,
  clusterIds,
  type Estimate,
  type EstimateOptions,
  type MeanOptions,
  meanEstimate,
} from '../estimate/index.ts';
import { type JobOptions, returning, seedWords, takeInput } from '../native/index.ts';
import { checkInteger, checkKnownKeys, checkObject } from '../validate.ts';
import { checkLogProbs, checkMatrix, checkNs, type LogProbMatrix, type MatrixOptions, matrixKeys } from './input.ts';
import { differenceInterval, scoreIntervals, tailRank } from './intervals.ts';
import { playOffset } from './offset.ts';
import { checkOnPolicy, type OnPolicy, type OnPolicyInput } from './on-policy.ts';
import { type NativeInput, playTournaments } from './play.ts';
import { type Tournament, tournamentResult } from './result.ts';

export interface TournamentInput extends LogProbMatrix, MatrixOptions, EstimateOptions {
  /** One N (the result is one Tournament) or several (an array of them); real numbers >= 1. */
  readonly N: number | readonly number[];
  /** [models]: names for reports. Default 'model 0', 'model 1', ... */
  readonly names?: readonly string[];
  /** Bootstrap replicates, at least 100. Default 1000. */
  readonly bootstrap?: number;
  /** Seed of the bootstrap, a whole number in [0, 2^53). Default 0. The same seed gives the same result everywhere. */
  readonly seed?: number;
  /** Generations of the models: the tournament is then the offset tournament (Eq. 32). Always copied. */
  readonly onPolicy?: OnPolicyInput;
}

function checkNames(names: readonly string[] | undefined, models: number): readonly string[] {
  if (names === undefined) return Array.from({ length: models }, (_, i) => `model ${i}`);
  if (!Array.isArray(names)) throw typeError('an array of strings', 'names', names);
  if (names.length !== models) throw shapeError(`${models} names`, 'names', `${names.length}`);
  names.forEach((name, i) => {
    if (typeof name !== 'string') throw typeError('a string', `names[${i}]`, name);
  });
  return [...names];
}

/** Cross-entropies, letting the event loop run between models. */
async function crossEntropies(logProbs: Float64Array, n: number, options: MeanOptions): Promise<Estimate[]> {
  const estimates: Estimate[] = [];
  for (let start = 0; start < logProbs.length; start += n) {
    const surprisals = logProbs.subarray(start, start + n).map((logProb) => -logProb);
    estimates.push(meanEstimate(surprisals, options, 'cross-entropies'));
    await setImmediate();
  }
  return estimates;
}

/** Arguments that were checked, and the log-probs as the tournament may read them. */
interface Game {
  readonly native: NativeInput;
  readonly onPolicy: OnPolicy | undefined;
  readonly clusters: ClusterIds | undefined;
  readonly Ns: readonly number[];
  readonly names: readonly string[];
  readonly confidence: number;
  readonly options: JobOptions;
}

/** Plays at each N; a list of results. */
async function play({ native, onPolicy, clusters, Ns, names, confidence, options }: Game): Promise<Tournament[]> {
  const { logProbs, models, replicates } = native;
  const n = logProbs.length / models;
  const crossEntropy = await crossEntropies(logProbs, n, { confidence, ...(clusters && { clusters: clusters.ids }) });
  const outputs = onPolicy
    ? await playOffset({ ...native, onPolicy }, Ns, options)
    : await playTournaments(native, Ns, options);
  const results: Tournament[] = [];
  for (const [k, output] of outputs.entries()) {
    const N = Ns[k]!;
    const intervals = { logProbs, models, n, N, confidence, clusters, onPolicy };
    const scoreEstimates = scoreIntervals(intervals, output);
    const difference = differenceInterval(intervals, output);
    const rule = onPolicy
      ? { rule: 'offset' as const, generations: onPolicy.total, exponent: onPolicy.exponent }
      : { rule: 'pairwise' as const };
    results.push(
      tournamentResult({ ...output, N, names, n, crossEntropy, scoreEstimates, difference, replicates, rule }),
    );
    await setImmediate(); // as between models
  }
  return results;
}

/**
 * Chooses a model by tournament (Eq. 29, arXiv 2510.15020): the one whose worst opponent finds the least coverage gap,
 * `argmin_i max_j Cov^_N(j ‖ i)`. Thm 6.3 bounds the coverage of the choice, with no assumption that pi_D is among the
 * models; minimum cross-entropy, the usual rule, can choose badly (Prop E.1).
 *
 * With `onPolicy`, by offset tournament (Eq. 32): `argmin_i max_j { Cov^_N(j ‖ i) - 2 N^a Cov^^{pi_i}_N(j ‖ i) }`, the second
 * term the share of model i's own generations y with `log pi_j(y|x) - log pi_i(y|x) >= log N`. The maximum is over all
 * models, i among them, so no score at N > 1 is below 0. Thm 6.4: if some model is within `a log N` of pi_D everywhere, it
 * works at constant N.
 *
 * Models that tie at N are compared at N^(1/2), N^(1/4), ... (log N halved ten times), then by cross-entropy, then by
 * index. Both rules are repeated on bootstrap replicates (responses, or clusters where given, drawn with replacement; and
 * independently of them each model's generations, or clusters of those).
 *
 * @throws (as a rejection) TypeError, RangeError, CovnError ERR_COVN_NON_FINITE, the signal's reason
 */
export function tournament(input: TournamentInput & { readonly N: number }): Promise<Tournament>;
export function tournament(input: TournamentInput & { readonly N: readonly number[] }): Promise<Tournament[]>;
export function tournament(input: TournamentInput): Promise<Tournament | Tournament[]>;
export async function tournament(input: TournamentInput): Promise<Tournament | Tournament[]> {
  checkObject(input, 'the input');
  checkKnownKeys(
    input,
    [...matrixKeys, 'names', 'confidence', 'bootstrap', 'seed', 'clusters', 'onPolicy'],
    'the input',
  );
  const { models } = input;
  const n = checkMatrix(input, input);
  checkLogProbs(input.logProbs, n);
  const Ns = checkNs(input.N);
  const names = checkNames(input.names, models);
  const confidence = checkConfidence(input.confidence ?? 0.95);
  const replicates = checkInteger(input.bootstrap ?? 1000, 'bootstrap', 100, 1_000_000);
  if (replicates < 2 / (1 - confidence)) {
    throw rangeError(`at least 2 / (1 - confidence) = ${Math.ceil(2 / (1 - confidence))}`, 'bootstrap', replicates);
  }
  const seed = seedWords(input.seed ?? 0);
  const clusters = input.clusters ? clusterIds(input.clusters, n) : undefined;
  if (clusters && clusters.count < 2) throw rangeError('at least 2 clusters', 'clusters', clusters.count);
  const onPolicy = input.onPolicy && checkOnPolicy(input.onPolicy, models, Ns);
  input.signal?.throwIfAborted();
  const logProbs = takeInput(input.logProbs, input.ownership ?? 'copy', 'logProbs');
  const handBack = input.ownership === 'transfer' && { logProbs };
  const unitCount = clusters?.count ?? n;
  const units = clusters?.ids ?? Int32Array.from({ length: n }, (_, i) => i);
  const fewestUnits = Math.min(unitCount, ...(onPolicy?.generations.map((g) => g.units.count) ?? []));
  const native = {
    logProbs,
    models,
    units,
    unitCount,
    replicates,
    seed,
    tailRank: tailRank(replicates, fewestUnits, confidence),
  };
  const game = { native, onPolicy, clusters, Ns, names, confidence, options: input };
  const results = await returning(handBack, () => play(game));
  const all = handBack ? results.map((result) => ({ ...result, ...handBack })) : results;
  return typeof input.N === 'number' ? all[0]! : all;
}
