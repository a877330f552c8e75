import type { Estimate } from '../estimate/index.ts';
import type { NativeOutputs } from './play.ts';

/** A tournament's choice, beside the choice by cross-entropy. Model numbers index `names`. */
export interface Tournament {
  /** 'pairwise': Eq. 29. 'offset': Eq. 32, from `generations` of the models, with `exponent` a. */
  readonly rule: 'pairwise' | 'offset';
  readonly generations?: number;
  readonly exponent?: number;
  readonly N: number;
  /** [models] */
  readonly names: readonly string[];
  /** Number of responses. */
  readonly n: number;
  /** The tournament's choice: the model of least score at N, ties broken down `ladder`. */
  readonly winner: number;
  /** The models that N alone cannot tell apart from the winner, the winner included, ascending. */
  readonly tied: readonly number[];
  /** How a tie was broken: the models still tied at each N compared, from N itself down. */
  readonly ladder: readonly { readonly N: number; readonly tied: readonly number[] }[];
  /**
   * [models]: worst-opponent coverage `max_j Cov^_N(j ‖ i)`, or its offset (Eq. 32);
   * smaller is better.
   */
  readonly scores: Float64Array;
  /** [models]: the scores with their intervals. */
  readonly scoreEstimates: readonly Estimate[];
  /** [models]: the opponent of that maximum, the lowest among equals; -1 where there is one model only. */
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
  /** With `ownership: 'transfer'`: the log-probs, handed back. */
  readonly logProbs?: Float64Array;
  /** Plain data for JSON, with the models' names beside their numbers. */
  toJSON(): object;
}

export interface ResultParts extends NativeOutputs {
  readonly N: number;
  readonly names: readonly string[];
  readonly n: number;
  readonly crossEntropy: readonly Estimate[];
  readonly scoreEstimates: readonly Estimate[];
  readonly difference: Estimate;
  readonly replicates: number;
  readonly rule: Pick<Tournament, 'rule' | 'generations' | 'exponent'>;
}

/** The models still tied at each rung, from N down, until one is left or the ladder ends. */
function descend({ ladderScores, thresholds, names, N }: ResultParts) {
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

export function tournamentResult(parts: ResultParts): Tournament {
  const { N, names, n, crossEntropy, worstOpponent, scoreEstimates, difference } = parts;
  const models = names.length;
  const ladder = descend(parts);
  const frequency = parts.choiceCounts.map((count) => count / parts.replicates);
  const result = {
    ...parts.rule,
    N,
    names,
    n,
    winner: parts.choices[0]!,
    tied: ladder[0]!.tied,
    ladder,
    scores: parts.ladderScores.slice(-models),
    scoreEstimates,
    worstOpponent,
    crossEntropy,
    minCrossEntropy: parts.choices[1]!,
    selectionProbability: frequency.slice(0, models),
    crossEntropySelectionProbability: frequency.slice(models),
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
