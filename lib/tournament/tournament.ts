import { setImmediate } from 'node:timers/promises';
import { rangeError, shapeError, typeError } from '../errors.ts';
import {
  checkConfidence,
  clusterIds,
  type Estimate,
  type EstimateOptions,
  type MeanOptions,
  meanEstimate,
} from '../estimate/index.ts';
import { returning, takeInput } from '../native/index.ts';
import { checkInteger, checkKnownKeys, checkObject } from '../validate.ts';
import { checkLogProbs, checkMatrix, checkNs, type LogProbMatrix, type MatrixOptions, matrixKeys } from './input.ts';
import { differenceInterval, scoreIntervals, tailRank } from './intervals.ts';
import { playTournaments } from './play.ts';
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

/**
 * Chooses a model by tournament (Eq. 29, arXiv 2510.15020): the one whose worst opponent finds the least coverage gap,
 * `argmin_i max_j Cov^_N(j ‖ i)`. Thm 6.3 bounds the coverage of the choice, with no assumption that pi_D is among the
 * models; minimum cross-entropy, the usual rule, can choose badly (Prop E.1).
 *
 * Models that tie at N are compared at N^(1/2), N^(1/4), ... (log N halved ten times), then by cross-entropy, then by
 * index. Both rules are repeated on bootstrap replicates (responses, or clusters where given, drawn with replacement).
 *
 * @throws (as a rejection) TypeError, RangeError, CovnError ERR_COVN_NON_FINITE, the signal's reason
 */
export function tournament(input: TournamentInput & { readonly N: number }): Promise<Tournament>;
export function tournament(input: TournamentInput & { readonly N: readonly number[] }): Promise<Tournament[]>;
export function tournament(input: TournamentInput): Promise<Tournament | Tournament[]>;
export async function tournament(input: TournamentInput): Promise<Tournament | Tournament[]> {
  checkObject(input, 'the input');
  checkKnownKeys(input, [...matrixKeys, 'names', 'confidence', 'bootstrap', 'seed', 'clusters'], 'the input');
  const n = checkMatrix(input, input);
  checkLogProbs(input.logProbs, n);
  const Ns = checkNs(input.N);
  const names = checkNames(input.names, input.models);
  const confidence = checkConfidence(input.confidence ?? 0.95);
  const replicates = checkInteger(input.bootstrap ?? 1000, 'bootstrap', 100, 1_000_000);
  if (replicates < 2 / (1 - confidence)) {
    throw rangeError(`at least 2 / (1 - confidence) = ${Math.ceil(2 / (1 - confidence))}`, 'bootstrap', replicates);
  }
  const seed = checkInteger(input.seed ?? 0, 'seed', 0);
  const clusters = input.clusters ? clusterIds(input.clusters, n) : undefined;
  if (clusters && clusters.count < 2) throw rangeError('at least 2 clusters', 'clusters', clusters.count);
  input.signal?.throwIfAborted();
  const { models } = input;
  const logProbs = takeInput(input.logProbs, input.ownership ?? 'copy', 'logProbs');
  const handBack = input.ownership === 'transfer' && { logProbs };
  const draws = {
    units: clusters?.ids ?? Int32Array.from({ length: n }, (_, i) => i),
    unitCount: clusters?.count ?? n,
  };
  const results = await returning(handBack, async () => {
    const crossEntropy = await crossEntropies(logProbs, n, { confidence, ...(clusters && { clusters: clusters.ids }) });
    const outputs = await playTournaments(
      {
        ...draws,
        logProbs,
        models,
        replicates,
        tailRank: tailRank(replicates, draws.unitCount, confidence),
        seed: Uint32Array.of(seed % 2 ** 32, Math.floor(seed / 2 ** 32)),
      },
      Ns,
      input,
    );
    const results: Tournament[] = [];
    for (const [k, output] of outputs.entries()) {
      const N = Ns[k]!;
      const intervals = { logProbs, models, n, N, confidence, clusters };
      const scoreEstimates = scoreIntervals(intervals, output);
      const difference = differenceInterval(intervals, output);
      const parts = { ...output, N, names, n, crossEntropy, scoreEstimates, difference, replicates };
      results.push({ ...tournamentResult(parts), ...handBack });
      await setImmediate(); // as between models
    }
    return results;
  });
  return typeof input.N === 'number' ? results[0]! : results;
}
