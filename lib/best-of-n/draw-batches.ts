import { nonFiniteError } from '../errors.ts';
import { type ModelOptions, nativeModel, type SampledResponses, sampleNatively } from '../model/index.ts';
import { followSignal, limitProgress } from '../native/index.ts';
import { checkNumberList, type NumberList } from '../validate.ts';
import { makeReduced, type Plan, type Reduced } from './plan.ts';
import { rewardFunction } from './rewards.ts';

/** Draws in progress beside the one that is being rewarded. */
const ahead = 3;

/** The addon draws this many tokens at a time, in a few batches: smaller calls cost more than they draw. */
const nativeTokens = 2 ** 20;

function responsesPerDraw({ model, maxLength }: Plan, batch: number): number {
  return nativeModel(model) ? batch * Math.max(1, Math.floor(nativeTokens / batch / maxLength)) : batch;
}

/** Responses first .. first + size of all, prompt after prompt. */
function drawFrom(plan: Plan, first: number, size: number, options: ModelOptions): Promise<SampledResponses> {
  const { model, N, seed, maxLength } = plan;
  const prompts = new Uint32Array(size);
  const samples = new Uint32Array(size);
  let p = Math.floor(first / N);
  let sample = first - p * N;
  for (let i = 0; i < size; ) {
    const prompt = plan.prompts[p++]!;
    for (const end = Math.min(size, i + N - sample); i < end; i++) {
      prompts[i] = prompt;
      samples[i] = sample++;
    }
    sample = 0;
  }
  const native = nativeModel(model);
  const drawn = native
    ? sampleNatively(native, { prompts, samples, seed, maxLength }, options)
    : model.sample(prompts, { samples, seed, maxLength }, options);
  drawn.catch(() => {}); // whoever takes it from the queue learns of it
  return drawn;
}

/** Responses from .. to, as views but for the offsets. */
function part(drawn: SampledResponses, from: number, to: number): SampledResponses {
  if (from === 0 && to >= drawn.prompts.length) return drawn;
  const { prompts, samples, tokens, offsets, logProbs, ended } = drawn;
  const begin = offsets[from]!;
  const own = offsets.slice(from, to + 1);
  for (let i = 0; i < own.length; i++) own[i]! -= begin;
  return {
    prompts: prompts.subarray(from, to),
    samples: samples.subarray(from, to),
    tokens: tokens.subarray(begin, offsets[Math.min(to, prompts.length)]),
    offsets: own,
    logProbs: logProbs.subarray(from, to),
    ended: ended.subarray(from, to),
  };
}

/** All responses, prompt after prompt, as batches in order. */
async function* drawBatches(plan: Plan, batch: number, options: ModelOptions): AsyncGenerator<SampledResponses> {
  const total = plan.prompts.length * plan.N;
  const each = responsesPerDraw(plan, batch);
  const queue: Promise<SampledResponses>[] = [];
  let next = 0;
  for (let first = 0; first < total; first += each) {
    for (; next < total && queue.length <= ahead; next += each) {
      queue.push(drawFrom(plan, next, Math.min(each, total - next), options));
    }
    const drawn = await queue.shift()!;
    for (let from = 0; from < drawn.prompts.length; from += batch) yield part(drawn, from, from + batch);
  }
}

/** The best responses so far of one prompt after another. */
class KeptList {
  readonly #reduced: Reduced;
  readonly #kept: number;
  #prompt = -1;
  #size = 0;

  constructor(reduced: Reduced, kept: number) {
    this.#reduced = reduced;
    this.#kept = kept;
  }

  add(p: number, sample: number, reward: number): void {
    if (p !== this.#prompt) {
      this.#prompt = p;
      this.#size = 0;
    }
    const { keptRewards, keptSamples } = this.#reduced;
    const first = p * this.#kept;
    let at = this.#size;
    // Samples come in order, so that of equal rewards the earlier stays before.
    if (at === this.#kept) {
      if (at === 0 || reward <= keptRewards[first + at - 1]!) return;
      at--;
    } else {
      this.#size++;
    }
    for (; at > 0 && keptRewards[first + at - 1]! < reward; at--) {
      keptRewards[first + at] = keptRewards[first + at - 1]!;
      keptSamples[first + at] = keptSamples[first + at - 1]!;
    }
    keptRewards[first + at] = reward;
    keptSamples[first + at] = sample;
  }
}

function checkRewards(rewards: NumberList, { prompts, samples }: SampledResponses): NumberList {
  checkNumberList(rewards, 'the rewards of a batch', prompts.length);
  for (let i = 0; i < rewards.length; i++) {
    if (Number.isNaN(rewards[i])) {
      throw nonFiniteError('a number', `the reward of sample ${samples[i]} of prompt ${prompts[i]}`, 'NaN');
    }
  }
  return rewards;
}

/** Takes responses, each prompt's in order. */
class Reducer {
  readonly reduced: Reduced;
  readonly #plan: Plan;
  readonly #kept: KeptList;
  // Where it is: the prompt, how many of its responses came, the size that they count for, and what they came to.
  #p = 0;
  #taken = 0;
  #size = 0;
  #successes = 0;
  #best = Number.NEGATIVE_INFINITY;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.reduced = makeReduced(plan);
    this.#kept = new KeptList(this.reduced, plan.kept);
  }

  take(batch: SampledResponses, rewards: NumberList): void {
    const { sizes, kept } = this.#plan;
    for (let i = 0; i < rewards.length; ) {
      const end = Math.min(rewards.length, i + sizes[this.#size]! - this.#taken);
      this.#add(batch, rewards, i, end);
      if (kept > 0) for (let j = i; j < end; j++) this.#kept.add(this.#p, this.#taken + j - i, rewards[j]!);
      this.#taken += end - i;
      i = end;
      if (this.#taken === sizes[this.#size]!) this.#close();
    }
  }

  /** Responses of one prompt, none of which passes a size. */
  #add({ logProbs, offsets, ended }: SampledResponses, rewards: NumberList, from: number, to: number): void {
    const { success = Number.POSITIVE_INFINITY, N } = this.#plan;
    let [count, best] = [this.#successes, this.#best];
    let [sum, squares, logProb, complete] = [0, 0, 0, 0];
    for (let i = from; i < to; i++) {
      const reward = rewards[i]!;
      if (reward >= success) count++;
      if (reward > best) best = reward;
      sum += reward;
      squares += reward * reward;
      logProb += logProbs[i]!;
      complete += ended[i]!;
    }
    [this.#successes, this.#best] = [count, best];
    const { sums, rewards: stored, logProbs: storedLogProbs } = this.reduced;
    const at = 5 * this.#p;
    sums[at]! += sum;
    sums[at + 1]! += squares;
    sums[at + 2]! += logProb;
    sums[at + 3]! += offsets[to]! - offsets[from]!;
    sums[at + 4]! += complete;
    const first = this.#p * N + this.#taken - from;
    for (let i = from; stored && i < to; i++) stored[first + i] = rewards[i]!;
    for (let i = from; storedLogProbs && i < to; i++) storedLogProbs[first + i] = logProbs[i]!;
  }

  /** A size is complete, and perhaps the prompt. */
  #close(): void {
    const { sizes } = this.#plan;
    const at = this.#p * sizes.length + this.#size;
    this.reduced.successes[at] = this.#successes;
    this.reduced.bestRewards[at] = this.#best;
    if (++this.#size < sizes.length) return;
    this.#p++;
    this.#taken = this.#size = this.#successes = 0;
    this.#best = Number.NEGATIVE_INFINITY;
  }
}

/** Drawn by the model, rewarded and reduced on the JavaScript thread. */
export async function drawInBatches(plan: Plan, batch: number, options: ModelOptions): Promise<Reduced> {
  const { onProgress, signal: outer, ...rest } = options;
  const { signal, aborted, end } = followSignal(outer);
  const rewards = rewardFunction(plan.reward, { signal, ...(rest.threads && { threads: rest.threads }) });
  const reducer = new Reducer(plan);
  const total = plan.prompts.length * plan.N;
  const report = limitProgress(onProgress);
  let done = 0;
  try {
    for await (const drawn of drawBatches(plan, batch, { ...rest, signal })) {
      // A reward function may take its time, and knows nothing of the signal.
      reducer.take(drawn, checkRewards(await Promise.race([rewards(drawn), aborted]), drawn));
      signal.throwIfAborted();
      done += drawn.prompts.length;
      report(done / total);
    }
  } finally {
    end(); // and with it whatever is still being drawn, when a reward failed
  }
  return reducer.reduced;
}
