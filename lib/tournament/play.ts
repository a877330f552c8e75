/** The native tournaments at a list of N. */

import { type JobOptions, resolveDevice, runJob } from '../native/index.ts';
import type { LogProbMatrix } from './input.ts';

/** What the native tournament fills in, and the offset tournament likewise, for one N. */
export interface NativeOutputs {
  /** Ascending thresholds log N / 2^10, ..., log N / 2, log N; fewer where they coincide (N = 1). */
  readonly thresholds: Float64Array;
  /** [2]: the tournament's choice and that of least cross-entropy. */
  readonly choices: Int32Array;
  /** [2, models]: how often each model was chosen on the replicates. */
  readonly choiceCounts: Float64Array;
  /** [rungs, models]: scores at each threshold of the ladder, ascending. */
  readonly ladderScores: Float64Array;
  readonly worstOpponent: Int32Array;
  /** [models + 1, 2]: bootstrap limits of each score, and of the difference. */
  readonly limits: Float64Array;
}

export interface NativeInput extends LogProbMatrix {
  /** [n]: the unit of each response, what the bootstrap draws. */
  readonly units: Int32Array;
  readonly unitCount: number;
  readonly replicates: number;
  /** Limits are the values of this rank from either end. */
  readonly tailRank: number;
  /** Low and high word. */
  readonly seed: Uint32Array;
}

// What one native job takes (kMaxReplicateScores of native/include/covn/tournament.hpp).
const maxReplicateScores = 50_000_000;

// log N halved ten times (the finest rung tells apart log-probs that differ at all but for a factor N^(1/1024)).
const halvings = 10;

function ladderThresholds(N: number): Float64Array {
  const rungs = Array.from({ length: halvings + 1 }, (_, k) => Math.log(N) / 2 ** (halvings - k));
  return Float64Array.from(new Set(rungs));
}

/** Plays at each N, on the same draws, in as few jobs as the memory for scores allows. */
export async function playTournaments(
  input: NativeInput,
  Ns: readonly number[],
  { onProgress, ...options }: JobOptions,
): Promise<NativeOutputs[]> {
  const all: NativeOutputs[] = [];
  const perJob = Math.max(1, Math.floor(maxReplicateScores / (input.models * input.replicates)));
  for (let first = 0; first < Ns.length; first += perJob) {
    const some = Ns.slice(first, first + perJob);
    const report = onProgress && ((fraction: number) => onProgress((first + fraction * some.length) / Ns.length));
    all.push(...(await playTogether(input, some, { ...options, ...(report && { onProgress: report }) })));
  }
  return all;
}

async function playTogether(input: NativeInput, Ns: readonly number[], options: JobOptions): Promise<NativeOutputs[]> {
  const { models } = input;
  const ladders = Ns.map(ladderThresholds);
  const offsets = [0];
  for (const ladder of ladders) offsets.push(offsets.at(-1)! + ladder.length);
  const outputs = {
    choices: new Int32Array(Ns.length * 2),
    choiceCounts: new Float64Array(Ns.length * 2 * models),
    ladderScores: new Float64Array(offsets.at(-1)! * models),
    worstOpponent: new Int32Array(Ns.length * models),
    limits: new Float64Array(Ns.length * 2 * (models + 1)),
  };
  const thresholds = Float64Array.from(ladders.flatMap((ladder) => [...ladder]));
  const request = { ...input, ...outputs, thresholds, ladderOffsets: Float64Array.from(offsets) };
  await runJob('tournament', { ...request, target: resolveDevice('auto', 'tournament') }, options);
  // Copies: what is handed out shares no memory.
  return ladders.map((ladder, k) => ({
    thresholds: ladder,
    choices: outputs.choices.slice(k * 2, (k + 1) * 2),
    choiceCounts: outputs.choiceCounts.slice(k * 2 * models, (k + 1) * 2 * models),
    ladderScores: outputs.ladderScores.slice(offsets[k]! * models, offsets[k + 1]! * models),
    worstOpponent: outputs.worstOpponent.slice(k * models, (k + 1) * models),
    limits: outputs.limits.slice(k * 2 * (models + 1), (k + 1) * 2 * (models + 1)),
  }));
}
