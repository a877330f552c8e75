import { rangeError, typeError } from '../errors.ts';
import {
  checkDrawn,
  checkModelOptions,
  checkPrompts,
  defaultMaxLength,
  type ModelOptions,
  maxTokens,
  nativeModel,
  type SampledResponses,
  type SequenceModel,
} from '../model/index.ts';
import { untilAborted, withSignal } from '../native/index.ts';
import { checkInteger, checkKnownKeys, checkNumber, checkObject, type NumberList } from '../validate.ts';
import { drawInBatches } from './draw-batches.ts';
import { drawNatively } from './draw-native.ts';
import type { SampleCounts } from './pass.ts';
import type { Plan, Reduced } from './plan.ts';
import type { RewardedResponses } from './reward.ts';
import { checkReward, type Reward } from './rewards.ts';

/** What to draw, and what the responses are worth. */
export interface BestOfNRequest {
  /** Responses drawn for each prompt, in [1, 2^31]. */
  readonly N: number;
  readonly reward: Reward;
  /** Whole number in [0, 2^53). Default 0. */
  readonly seed?: number;
  /** The most tokens of a response, in [1, 2^24 - 1]; longer ones are cut off there. Default 1024. */
  readonly maxLength?: number;
  /**
   * What the result has of the responses: 'best' (default), the best of each prompt; { top: k }, the k best; 'all', the
   * best, and reward and log-prob of every one; 'statistics', none.
   */
  readonly keep?: 'best' | 'all' | 'statistics' | { readonly top: number };
  /** The least reward that counts as success. Default 1; with `logProb` and `logRatio`, none is counted unless given. */
  readonly success?: number;
}

export interface BestOfNOptions extends ModelOptions {
  /** Responses handed to a reward function at a time, in [1, 2^20]. Default 4096. */
  readonly batch?: number;
  /**
   * Whether the arrays of a batch are only lent to a reward function: their memory is freed once its rewards are in, when
   * nothing may be reading them any more (a write, another addon), and they have length 0 from then on. Spares V8 the
   * collecting, which can cost more than the drawing. Default false: they are the function's, to keep or to change.
   */
  readonly lend?: boolean;
}

/** The responses kept: prompt after prompt, the best first; of equal rewards, the lowest sample. */
export interface KeptResponses extends SampledResponses {
  /** [responses] */
  readonly rewards: Float64Array;
}

/** Means over the N responses to each prompt, all [prompts]. */
export interface ResponseStatistics {
  readonly meanReward: Float64Array;
  /** Standard deviation of the rewards (N - 1 in the denominator; NaN for N = 1 or where a reward is infinite). */
  readonly rewardDeviation: Float64Array;
  /** nats: of log pi(y|x), so that its negative estimates the entropy of the responses. */
  readonly meanLogProb: Float64Array;
  readonly meanLength: Float64Array;
  /** Share of the responses that ended before `maxLength` cut them off. */
  readonly endedShare: Float64Array;
}

/** What came of N responses to each prompt. */
export interface BestOfN {
  readonly prompts: Int32Array;
  readonly N: number;
  readonly seed: number;
  readonly maxLength: number;
  /** The powers of two up to N, and N. */
  readonly sizes: Float64Array;
  /** The least reward that counted as success, if any did. */
  readonly success: number | undefined;
  /** [prompts, sizes]: how many of the first so many responses were successes; undefined where none is counted. */
  readonly successes: Float64Array | undefined;
  /** [prompts, sizes]: the best reward among the first so many. */
  readonly bestRewards: Float64Array;
  readonly statistics: ResponseStatistics;
  /** What `passAtN` takes, for Pass@n at all n <= N; undefined where no success is counted. */
  readonly counts: SampleCounts | undefined;
  /** Undefined with keep: 'statistics'. */
  readonly best: KeptResponses | undefined;
  /** With keep: 'all': what `bestOfNReward` takes, [prompts, N], for the expected best reward at all n <= N. */
  readonly rewarded?: RewardedResponses & { readonly rewards: Float64Array; readonly offsets: Float64Array };
  /** With keep: 'all': [prompts, N], nats. */
  readonly logProbs?: Float64Array;
}

const requestKeys = ['N', 'reward', 'seed', 'maxLength', 'keep', 'success'];
const mostPrompts = 2 ** 31;
const mostKept = 65536;
const mostStored = 2 ** 30;

/** The number of responses kept of each prompt. */
function checkKeep(keep: BestOfNRequest['keep'], N: number): number {
  if (keep === 'statistics') return 0;
  if (keep === undefined || keep === 'best' || keep === 'all') return 1;
  if (typeof keep !== 'object' || keep === null) {
    throw typeError("'best', 'all', 'statistics' or { top }", 'keep', keep);
  }
  checkKnownKeys(keep, ['top'], 'keep');
  return Math.min(N, checkInteger(keep.top, 'keep.top', 1, mostKept));
}

function checkDistinct(prompts: Int32Array): void {
  const seen = new Set<number>();
  for (const [i, prompt] of prompts.entries()) {
    if (seen.has(prompt)) throw rangeError('a prompt that did not come before', `prompts[${i}]`, prompt);
    seen.add(prompt);
  }
}

function checkRequest(model: SequenceModel, prompts: NumberList, request: BestOfNRequest): Plan {
  checkObject(request, 'the request');
  checkKnownKeys(request, requestKeys, 'the request');
  const native = nativeModel(model);
  if (!native && (typeof model?.sample !== 'function' || typeof model.logProb !== 'function')) {
    throw typeError('a model', 'model', model);
  }
  const space = { prompts: (model as { prompts?: number }).prompts ?? mostPrompts, vocab: model.vocab };
  const ids = checkPrompts(prompts, space.prompts);
  checkDistinct(ids);
  const N = checkInteger(request.N, 'N', 1, 2 ** 31);
  const { keep, seed = 0, maxLength = defaultMaxLength } = request;
  const kept = checkKeep(keep, N);
  const stored = keep === 'all';
  if (stored && ids.length * N > mostStored) throw rangeError("prompts * N up to 2^30 with keep: 'all'", 'N', N);
  const reward = checkReward(request.reward, ids, space);
  const counts = request.success !== undefined || !(reward.kind === 'logProb' || reward.kind === 'logRatio');
  // In one literal, whose shape V8 keeps. That of an object with something spread into it is lost with the last such object,
  // and with it the code that was optimized for it: anew in each call.
  return {
    model,
    prompts: ids,
    N,
    reward,
    kept,
    stored,
    seed: checkInteger(seed, 'seed', 0),
    maxLength: checkInteger(maxLength, 'maxLength', 1, maxTokens),
    success: counts ? checkNumber(request.success ?? 1, 'success') : undefined,
    sizes: powersOfTwo(N),
  };
}

/** The powers of two up to N, and N. */
function powersOfTwo(N: number): Float64Array {
  const sizes: number[] = [];
  for (let size = 1; size < N; size *= 2) sizes.push(size);
  return Float64Array.of(...sizes, N);
}

function statisticsOf(sums: Float64Array, N: number): ResponseStatistics {
  const mean = (at: number) => new Float64Array(sums.length / 5).map((_, p) => sums[5 * p + at]! / N);
  const meanReward = mean(0);
  const rewardDeviation = meanReward.map((_, p) => Math.sqrt(Math.max(0, sums[5 * p + 1]!) / (N - 1)));
  return { meanReward, rewardDeviation, meanLogProb: mean(2), meanLength: mean(3), endedShare: mean(4) };
}

/** The kept responses, drawn again from their numbers. */
async function replay(
  plan: Plan,
  { keptSamples, keptRewards }: Reduced,
  options: ModelOptions,
): Promise<KeptResponses> {
  const prompts = Int32Array.from(keptSamples, (_, i) => plan.prompts[Math.floor(i / plan.kept)]!);
  const { seed, maxLength, model } = plan;
  const request = { samples: keptSamples, seed, maxLength };
  const drawn = await withSignal(options.signal, async (signal) => {
    const again = await untilAborted(model.sample(prompts.slice(), request, { ...options, signal }), signal);
    return checkDrawn(again, { prompts, samples: keptSamples, vocab: model.vocab });
  });
  return { ...drawn, rewards: keptRewards };
}

/**
 * Best-of-N: draws N responses to each prompt, rewards them, and keeps the best, in one pass whose memory does not depend
 * on N (but for keep: 'all'). A response is drawn again from its number rather than stored.
 *
 * With a `TabularModel` and any reward but a function, everything happens on covn's threads. Otherwise responses come to
 * JavaScript in batches, in order. The result is the same either way, but for the last bits of `statistics` and of rewards that are
 * log-probs or log ratios: on covn's threads these are sums of fixed-point numbers, within 3e-11 nats a token of what `logProb`
 * gives, so that responses whose rewards differ by less, or not at all, can have another order. It is the same for any
 * number of threads, any batch and any order of the prompts.
 *
 * @param prompts indices of the model's prompts, each once
 * @throws (as a rejection) TypeError, RangeError, CovnError ERR_COVN_NON_FINITE for a reward that is NaN, what a reward
 *   function throws, the signal's reason
 */
export async function bestOfN(
  model: SequenceModel,
  prompts: NumberList,
  request: BestOfNRequest,
  options: BestOfNOptions = {},
): Promise<BestOfN> {
  checkModelOptions(options, ['batch', 'lend']);
  const { batch = 4096, lend = false, ...modelOptions }: BestOfNOptions = options;
  checkInteger(batch, 'batch', 1, 2 ** 20);
  if (typeof lend !== 'boolean') throw typeError('true or false', 'lend', lend);
  const plan = checkRequest(model, prompts, request);
  modelOptions.signal?.throwIfAborted();
  const reduced =
    (await drawNatively(plan, modelOptions)) ?? (await drawInBatches(plan, { batch, lend }, modelOptions));
  const { N, seed, maxLength, sizes, success } = plan;
  const { signal, threads, device } = modelOptions;
  // What a GPU drew is drawn again on the CPU: the same.
  const replayed = device === 'cuda' ? undefined : device;
  const again: ModelOptions = {
    ...(signal && { signal }),
    ...(threads && { threads }),
    ...(replayed && { device: replayed }),
  };
  const best = plan.kept > 0 ? await replay(plan, reduced, again) : undefined;
  const correct = reduced.successes.filter((_, i) => i % sizes.length === sizes.length - 1);
  const { rewards, logProbs } = reduced;
  return {
    ...{ prompts: plan.prompts, N, seed, maxLength, sizes, success, bestRewards: reduced.bestRewards },
    successes: success === undefined ? undefined : reduced.successes,
    statistics: statisticsOf(reduced.sums, N),
    counts: success === undefined ? undefined : { samples: N, correct },
    best,
    ...(rewards && {
      rewarded: { rewards, offsets: Float64Array.from({ length: plan.prompts.length + 1 }, (_, p) => p * N) },
    }),
    ...(logProbs && { logProbs }),
  };
}
