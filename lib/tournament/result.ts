import { type Estimate, exactLimits, normalCdf, studentQuantile } from '../estimate/index.ts';

/** A tournament's choice, beside the choice by cross-entropy. Model numbers index `names`. */
export interface Tournament {
  readonly N: number;
  /** [models] */
  readonly names: readonly string[];
  /** Number of responses. */
  readonly n: number;
  /** The tournament's choice: the model of least worst-opponent coverage at N, ties broken down `ladder`. */
  readonly winner: number;
  /** The models that N alone cannot tell apart from the winner, the winner included, ascending. */
  readonly tied: readonly number[];
  /** How a tie was broken: the models still tied at each N compared, from N itself down. */
  readonly ladder: readonly { readonly N: number; readonly tied: readonly number[] }[];
  /** [models]: worst-opponent coverage `max_j Cov^_N(j ‖ i)`; smaller is better. */
  readonly scores: Float64Array;
  /** [models]: the scores with bootstrap intervals. */
  readonly scoreEstimates: readonly Estimate[];
  /** [models]: the j of that maximum, the lowest among equals; -1 where there is one model only. */
  readonly worstOpponent: Int32Array;
  /** [models]: mean of -log pi(y|x), nats a response. */
  readonly crossEntropy: readonly Estimate[];
  /** The model of least cross-entropy. */
  readonly minCrossEntropy: number;
  /** [models]: how often the tournament chose each model on the bootstrap replicates. */
  readonly selectionProbability: Float64Array;
  /** [models]: how often least cross-entropy did. */
  readonly crossEntropySelectionProbability: Float64Array;
  /** Score of the least-cross-entropy model minus score of the winner, paired: what choosing by cross-entropy costs. */
  readonly difference: Estimate;
  /**
   * Whether the interval of `difference` excludes 0. The winner was chosen on the same responses, which makes the
   * difference look larger than it is; confirm a close call on fresh responses.
   */
  readonly significant: boolean;
  /** Plain data for JSON, with the models' names beside their numbers. */
  toJSON(): object;
}

/** What the native tournament fills in: R = bootstrap replicates + 1, the data itself first. */
export interface Replicates {
  readonly winner: Int32Array;
  readonly minCrossEntropy: Int32Array;
  readonly scores: Float64Array;
  readonly ladderScores: Float64Array;
  readonly worstOpponent: Int32Array;
}

interface Parts extends Replicates {
  readonly N: number;
  readonly names: readonly string[];
  readonly n: number;
  /** What the bootstrap draws: clusters where given, else responses. */
  readonly units: number;
  readonly confidence: number;
  readonly thresholds: Float64Array;
  readonly clustered: boolean;
  readonly crossEntropy: readonly Estimate[];
}

/** How often each of `models` was chosen in the replicates (not in the data itself). */
function frequencies(choices: Int32Array, models: number): Float64Array {
  const counts = new Float64Array(models);
  for (const choice of choices.subarray(1)) counts[choice]! += 1;
  return counts.map((count) => count / (choices.length - 1));
}

/**
 * Bootstrap interval of a statistic in [low, 1] about its value on the data, from its value on each replicate: Hesterberg's
 * expanded percentile interval (2015, The American Statistician 69:371-386), whose tails allow for the number of units
 * drawn as Student's t does (a plain percentile interval over 20 clusters covers 0.90 instead of 0.95). Where no
 * replicate differs from the data the bootstrap knows nothing, and the interval is Clopper-Pearson's for that share of
 * the units, scaled to the range.
 */
function bootstrapInterval(value: number, low: number, replicates: Float64Array, parts: Parts): Estimate {
  const { confidence, clustered, n, units } = parts;
  const sorted = replicates.sort();
  if (sorted[0] === sorted.at(-1)) {
    const share = (value - low) / (1 - low);
    const { lower, upper } = exactLimits(share * units, units, confidence);
    const scale = (limit: number) => low + limit * (1 - low);
    return { value, lower: scale(lower), upper: scale(upper), confidence, method: 'bounded', n };
  }
  const quantile = studentQuantile((1 - confidence) / 2, units - 1) * Math.sqrt(units / (units - 1));
  const rank = Math.floor(normalCdf(quantile) * (sorted.length + 1));
  const lower = sorted[Math.max(0, rank - 1)]!;
  const upper = sorted[Math.min(sorted.length - 1, sorted.length - rank)]!;
  const method = clustered ? 'cluster bootstrap' : 'bootstrap';
  return { value, lower, upper, confidence, method, n };
}

/** The models still tied at each rung, from N down, until one is left or the ladder ends. */
function descend({ ladderScores, thresholds, names, N }: Parts) {
  const ladder: { N: number; tied: number[] }[] = [];
  let tied = names.map((_, i) => i);
  for (let k = thresholds.length - 1; k >= 0; k--) {
    const scores = ladderScores.subarray(k * names.length, (k + 1) * names.length);
    const least = Math.min(...tied.map((i) => scores[i]!));
    tied = tied.filter((i) => scores[i] === least);
    ladder.push({ N: k === thresholds.length - 1 ? N : Math.exp(thresholds[k]!), tied });
    if (tied.length === 1) break;
  }
  return ladder;
}

export function tournamentResult(parts: Parts): Tournament {
  const { N, names, n, scores: all, crossEntropy, worstOpponent } = parts;
  const models = names.length;
  const winner = parts.winner[0]!;
  const minCrossEntropy = parts.minCrossEntropy[0]!;
  const scores = all.slice(0, models);
  const count = parts.winner.length - 1;
  const replicated = (statistic: (row: Float64Array) => number) =>
    Float64Array.from({ length: count }, (_, b) => statistic(all.subarray((b + 1) * models, (b + 2) * models)));
  const cost = (row: Float64Array) => row[minCrossEntropy]! - row[winner]!;
  const difference =
    winner === minCrossEntropy
      ? { value: 0, lower: 0, upper: 0, confidence: parts.confidence, method: 'the same model', n }
      : bootstrapInterval(cost(scores), -1, replicated(cost), parts);
  const ladder = descend(parts);
  const result = {
    N,
    names,
    n,
    winner,
    tied: ladder[0]!.tied,
    ladder,
    scores,
    scoreEstimates: names.map((_, i) =>
      bootstrapInterval(
        scores[i]!,
        0,
        replicated((row) => row[i]!),
        parts,
      ),
    ),
    worstOpponent,
    crossEntropy,
    minCrossEntropy,
    selectionProbability: frequencies(parts.winner, models),
    crossEntropySelectionProbability: frequencies(parts.minCrossEntropy, models),
    difference,
    significant: difference.lower > 0 || difference.upper < 0,
  };
  return { ...result, toJSON: () => plain(result) };
}

function plain(result: Omit<Tournament, 'toJSON'>): object {
  const { names, winner, minCrossEntropy, scores, worstOpponent, ...rest } = result;
  return {
    ...rest,
    winner: { model: winner, name: names[winner] },
    minCrossEntropy: { model: minCrossEntropy, name: names[minCrossEntropy] },
    names,
    scores: Array.from(scores),
    worstOpponent: Array.from(worstOpponent),
    selectionProbability: Array.from(result.selectionProbability),
    crossEntropySelectionProbability: Array.from(result.crossEntropySelectionProbability),
  };
}
