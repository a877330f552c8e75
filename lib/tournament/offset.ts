/** The offset tournament (Eq. 32), in TypeScript: its choice, and those on bootstrap replicates. */

import { setImmediate } from 'node:timers/promises';
import type { JobOptions } from '../native/index.ts';
import { type OffsetData, scoreModel } from './offset-scores.ts';
import type { OnPolicy } from './on-policy.ts';
import { type NativeInput, type NativeOutputs, playTournaments } from './play.ts';
import {
  type Draws,
  drawUnits,
  mostRows,
  type Pace,
  type PackedWeights,
  packingFor,
  STRETCH,
  unpack,
} from './replicates.ts';

/** Bound on the weights in a block of replicates, of responses and of one model's generations, in doubles: 64 MB. */
const BLOCK_WEIGHTS = 2 ** 23;
/** How long the event loop waits, in milliseconds. */
const TURN = 15;
/** Share of the progress that the native job stands for. */
const NATIVE_SHARE = 0.1;

/** Lets the event loop run, and looks at the signal, whenever a turn is over. */
function makePace(signal: AbortSignal | undefined, report: () => void): Pace {
  let start = performance.now();
  return () => {
    if (performance.now() - start < TURN) return undefined;
    report();
    return setImmediate().then(() => {
      signal?.throwIfAborted();
      start = performance.now();
    });
  };
}

/** A tournament at one N, and what is known of it on the data (replicate 0) and the replicates. */
interface Game {
  readonly data: OffsetData;
  readonly N: number;
  /** Ascending, log N last. */
  readonly thresholds: Float64Array;
  /** [models][1 + replicates]: scores at N. */
  readonly scores: readonly Float64Array[];
  /** [1 + replicates]: the model chosen. */
  readonly choices: Int32Array;
  /** [rungs, models]: on the data; below N of the models tied there, NaN for others. */
  readonly ladderScores: Float64Array;
  readonly worstOpponent: Int32Array;
}

/** Replicates that are scored together. */
interface Block {
  readonly draws: Draws;
  readonly responses: PackedWeights;
  /** [replicates of the block]: the models still tied on each. */
  readonly tied: number[][];
}

const allPacks = (packs: number) => Array.from({ length: packs }, (_, pack) => pack);

/**
 * Plays at each N, on the draws of {@link playTournaments}, which chooses by cross-entropy here too. The generations of
 * each model are drawn independently.
 */
export async function playOffset(
  input: NativeInput & { readonly onPolicy: OnPolicy },
  Ns: readonly number[],
  { onProgress, ...options }: JobOptions,
): Promise<NativeOutputs[]> {
  const ofNative = onProgress && ((fraction: number) => onProgress(NATIVE_SHARE * fraction));
  const plain = await playTournaments(input, Ns, { ...options, ...(ofNative && { onProgress: ofNative }) });
  const outputs: NativeOutputs[] = [];
  for (const [k, output] of plain.entries()) {
    const report = (fraction: number) => onProgress?.(NATIVE_SHARE + ((1 - NATIVE_SHARE) * (k + fraction)) / Ns.length);
    outputs.push(await playOne(input, Ns[k]!, output, options.signal, report));
  }
  return outputs;
}

async function playOne(
  input: NativeInput & { readonly onPolicy: OnPolicy },
  N: number,
  plain: NativeOutputs,
  signal: AbortSignal | undefined,
  report: (fraction: number) => void,
): Promise<NativeOutputs> {
  const { logProbs, models, replicates, onPolicy } = input;
  const units = { ids: input.units, count: input.unitCount };
  const { thresholds } = plain;
  const game: Game = {
    data: { logProbs, models, n: logProbs.length / models, units, onPolicy },
    N,
    thresholds,
    scores: Array.from({ length: models }, () => new Float64Array(1 + replicates)),
    choices: new Int32Array(1 + replicates),
    ladderScores: new Float64Array(thresholds.length * models).fill(Number.NaN),
    worstOpponent: new Int32Array(models),
  };
  const drawn = [units, ...onPolicy.generations.map((generations) => generations.units)];
  const packing = packingFor(Math.max(...drawn.map(mostRows)));
  const packs = Math.ceil((1 + replicates) / packing.width);
  const together = Math.max(
    1,
    Math.min(packs, Math.floor(BLOCK_WEIGHTS / Math.max(...drawn.map(({ count }) => count)))),
  );
  for (let first = 0; first < packs; first += together) {
    let done = 0; // models
    const seed = input.seed[0]! + 2 ** 32 * input.seed[1]!;
    const draws = { packing, first, packs: Math.min(together, packs - first), replicates, seed };
    const pace = makePace(signal, () => report((first + (draws.packs * done) / models) / packs));
    const responses = await drawUnits(units, undefined, draws, pace);
    const count = Math.min(draws.packs * packing.width, 1 + replicates - first * packing.width);
    const tied = Array.from({ length: count }, () => Array.from({ length: models }, (_, i) => i));
    await playBlock(game, { draws, responses, tied }, pace, () => done++);
  }
  report(1);
  return summarise(game, input, plain);
}

async function playBlock(game: Game, block: Block, pace: Pace, onModel: () => void): Promise<void> {
  const { models } = game.data;
  const { draws, tied } = block;
  const at = draws.first * draws.packing.width;
  for (let k = game.thresholds.length - 1; k >= 0; k--) {
    const open = tied.flatMap((among, b) => (among.length > 1 || k === game.thresholds.length - 1 ? [b] : []));
    if (open.length === 0) break;
    const scores = await scoreTied(game, block, k, open, pace, onModel);
    for (const b of open) {
      if (at + b === 0) for (const i of tied[b]!) game.ladderScores[k * models + i] = scores[i]![b]!;
      const least = tied[b]!.reduce((low, i) => Math.min(low, scores[i]![b]!), Number.POSITIVE_INFINITY);
      tied[b] = tied[b]!.filter((i) => scores[i]![b] === least);
    }
    if (k < game.thresholds.length - 1) continue;
    for (let i = 0; i < models; i++) game.scores[i]!.set(scores[i]!.subarray(0, tied.length), at);
  }
  for (const [b, among] of tied.entries()) {
    game.choices[at + b] = among.length > 1 ? await leastCrossEntropy(game.data, block, b, among, pace) : among[0]!;
    await pace();
  }
}

/** Scores at rung k of the models that are tied on an open replicate: [model][replicate of the block]. */
async function scoreTied(
  game: Game,
  { draws, responses, tied }: Block,
  k: number,
  open: readonly number[],
  pace: Pace,
  onModel: () => void,
): Promise<(Float64Array | undefined)[]> {
  const top = k === game.thresholds.length - 1;
  const rung = { threshold: game.thresholds[k]!, N: top ? game.N : Math.exp(game.thresholds[k]!) };
  const packsOf = new Map<number, Set<number>>();
  for (const b of open) {
    for (const i of tied[b]!) {
      if (!packsOf.has(i)) packsOf.set(i, new Set());
      packsOf.get(i)!.add(Math.floor(b / draws.packing.width));
    }
  }
  const all: (Float64Array | undefined)[] = new Array(game.data.models);
  for (const [i, some] of packsOf) {
    const scores = new Float64Array(draws.packs * draws.packing.width);
    const packs = top ? allPacks(draws.packs) : [...some];
    const worst = await scoreModel(game.data, i, rung, responses, draws, { scores, packs }, pace);
    if (top && draws.first === 0) game.worstOpponent[i] = worst;
    all[i] = scores;
    if (top) onModel();
  }
  return all;
}

/** Of models tied down the whole ladder that of least cross-entropy on a replicate, the lowest index among equals. */
async function leastCrossEntropy(
  { logProbs, n, units }: OffsetData,
  block: Block,
  b: number,
  among: readonly number[],
  pace: Pace,
): Promise<number> {
  const { packing } = block.draws;
  const pack = block.responses.weights.subarray(Math.floor(b / packing.width) * units.count);
  const slots = new Float64Array(packing.width);
  const sums = among.map(() => 0);
  for (let r = 0; r < n; r++) {
    if (r % STRETCH === 0) await pace();
    unpack(pack[units.ids[r]!]!, packing, slots);
    const weight = slots[b % packing.width]!;
    if (weight > 0) for (const [k, i] of among.entries()) sums[k]! += weight * logProbs[i * n + r]!;
  }
  return among[sums.indexOf(Math.max(...sums))]!;
}

/** The choices of cross-entropy are those of the plain tournament; the rest is the offset tournament's. */
function summarise(game: Game, { models, replicates, tailRank }: NativeInput, plain: NativeOutputs): NativeOutputs {
  const winner = game.choices[0]!;
  const other = plain.choices[1]!;
  const choiceCounts = new Float64Array(2 * models);
  for (let b = 1; b <= replicates; b++) choiceCounts[game.choices[b]!]!++;
  choiceCounts.set(plain.choiceCounts.subarray(models), models);
  const difference = game.scores[other]!.map((score, b) => score - game.scores[winner]![b]!);
  const limits = [...game.scores, difference].flatMap((scores) => {
    const sorted = scores.slice(1).sort();
    return [sorted[tailRank - 1]!, sorted[replicates - tailRank]!];
  });
  return {
    thresholds: game.thresholds,
    choices: Int32Array.of(winner, other),
    choiceCounts,
    ladderScores: game.ladderScores,
    worstOpponent: game.worstOpponent,
    limits: Float64Array.from(limits),
  };
}
