import { nonFiniteError } from '../errors.ts';
import type { ModelOptions, SampledResponses } from '../model/index.ts';
import { followSignal, limitProgress } from '../native/index.ts';
import { checkNumberList, type NumberList } from '../validate.ts';
import { makeReduced, type Plan, type Reduced } from './plan.ts';
import { rewardFunction } from './rewards.ts';

/** Batches drawn ahead of the one that is being rewarded. */
const ahead = 3;

/** All responses, prompt after prompt, as batches in order. */
async function* drawBatches(plan: Plan, batch: number, options: ModelOptions): AsyncGenerator<SampledResponses> {
  const { model, N, seed, maxLength } = plan;
  const total = plan.prompts.length * N;
  const draw = (first: number) => {
    const size = Math.min(batch, total - first);
    const prompts = new Int32Array(size);
    const samples = new Float64Array(size);
    let p = Math.floor(first / N);
    let sample = first - p * N;
    for (let i = 0; i < size; i++) {
      prompts[i] = plan.prompts[p]!;
      samples[i] = sample++;
      if (sample === N) {
        sample = 0;
        p++;
      }
    }
    const drawn = model.sample(prompts, { samples, seed, maxLength }, options);
    drawn.catch(() => {}); // whoever takes it from the queue learns of it
    return drawn;
  };
  const queue: Promise<SampledResponses>[] = [];
  let next = 0;
  for (let first = 0; first < total; first += batch) {
    for (; next < total && queue.length <= ahead; next += batch) queue.push(draw(next));
    yield await queue.shift()!;
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
function makeReducer(plan: Plan) {
  const reduced = makeReduced(plan);
  const { N, sizes, success = Number.POSITIVE_INFINITY } = plan;
  const { successes, bestRewards, sums } = reduced;
  const kept = new KeptList(reduced, plan.kept);
  let p = 0;
  let k = 0;
  let taken = 0;
  let [count, best] = [0, Number.NEGATIVE_INFINITY];
  const take = (batch: SampledResponses, rewards: NumberList): void => {
    const { logProbs, offsets, ended } = batch;
    for (let i = 0; i < rewards.length; i++) {
      const reward = rewards[i]!;
      const logProb = logProbs[i]!;
      if (reward >= success) count++;
      if (reward > best) best = reward;
      sums[5 * p]! += reward;
      sums[5 * p + 1]! += reward * reward;
      sums[5 * p + 2]! += logProb;
      sums[5 * p + 3]! += offsets[i + 1]! - offsets[i]!;
      sums[5 * p + 4]! += ended[i]!;
      kept.add(p, taken, reward);
      if (reduced.rewards) reduced.rewards[p * N + taken] = reward;
      if (reduced.logProbs) reduced.logProbs[p * N + taken] = logProb;
      if (++taken < sizes[k]!) continue;
      successes[p * sizes.length + k] = count;
      bestRewards[p * sizes.length + k] = best;
      if (++k < sizes.length) continue;
      [p, k, taken, count, best] = [p + 1, 0, 0, 0, Number.NEGATIVE_INFINITY];
    }
  };
  return { reduced, take };
}

/** Drawn by the model, rewarded and reduced on the JavaScript thread. */
export async function drawInBatches(plan: Plan, batch: number, options: ModelOptions): Promise<Reduced> {
  const { onProgress, signal: outer, ...rest } = options;
  const { signal, aborted, end } = followSignal(outer);
  const rewards = rewardFunction(plan.reward, { signal, ...(rest.threads && { threads: rest.threads }) });
  const { reduced, take } = makeReducer(plan);
  const total = plan.prompts.length * plan.N;
  const report = limitProgress(onProgress);
  let done = 0;
  try {
    for await (const drawn of drawBatches(plan, batch, { ...rest, signal })) {
      // A reward function may take its time, and knows nothing of the signal.
      take(drawn, checkRewards(await Promise.race([rewards(drawn), aborted]), drawn));
      signal.throwIfAborted();
      done += drawn.prompts.length;
      report(done / total);
    }
  } finally {
    end(); // and with it whatever is still being drawn, when a reward failed
  }
  return reduced;
}
