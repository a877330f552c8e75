/** Rewarded responses, as they come, reduced to what is wanted of them. */

import type { NumberList } from '../validate.ts';
import { makeReduced, type Plan, type Reduced } from './plan.ts';

/** What is read of a batch besides its rewards. */
export interface Reducible {
  readonly logProbs: Float64Array;
  readonly offsets: NumberList;
  readonly ended: Uint8Array;
}

/**
 * The best responses so far of one prompt after another. Candidates are put in order once there are twice as many as are
 * kept, so that one more costs a logarithm.
 */
class KeptList {
  readonly #reduced: Reduced;
  readonly #kept: number;
  readonly #rewards: Float64Array;
  readonly #samples: Float64Array;
  #size = 0;
  /** A reward has to be above it: samples come in order, and of equal rewards the earlier counts. */
  #least = Number.NEGATIVE_INFINITY;

  constructor(reduced: Reduced, kept: number) {
    this.#reduced = reduced;
    this.#kept = kept;
    this.#rewards = new Float64Array(2 * kept);
    this.#samples = new Float64Array(2 * kept);
  }

  add(sample: number, reward: number): void {
    if (this.#size >= this.#kept && reward <= this.#least) return;
    this.#rewards[this.#size] = reward;
    this.#samples[this.#size++] = sample;
    if (this.#size === 2 * this.#kept) this.#select();
  }

  /** Leaves the best in order. */
  #select(): void {
    const [rewards, samples] = [this.#rewards, this.#samples];
    const order = new Uint32Array(this.#size).map((_, i) => i);
    // Not by difference: infinite rewards have none.
    order.sort((a, b) => (rewards[a] === rewards[b] ? samples[a]! - samples[b]! : rewards[a]! > rewards[b]! ? -1 : 1));
    const best = order.subarray(0, this.#kept);
    const [sorted, numbers] = [
      Float64Array.from(best, (i) => rewards[i]!),
      Float64Array.from(best, (i) => samples[i]!),
    ];
    rewards.set(sorted);
    samples.set(numbers);
    this.#size = best.length;
    if (this.#size === this.#kept) this.#least = rewards[this.#kept - 1]!;
  }

  /** Writes those of prompt p, and begins anew. */
  close(p: number): void {
    this.#select();
    this.#reduced.keptRewards.set(this.#rewards.subarray(0, this.#kept), p * this.#kept);
    this.#reduced.keptSamples.set(this.#samples.subarray(0, this.#kept), p * this.#kept);
    this.#size = 0;
    this.#least = Number.NEGATIVE_INFINITY;
  }
}

/** Takes responses, each prompt's in order. */
export class Reducer {
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

  take(batch: Reducible, rewards: NumberList): void {
    const { sizes, kept } = this.#plan;
    for (let i = 0; i < rewards.length; ) {
      const end = Math.min(rewards.length, i + sizes[this.#size]! - this.#taken);
      this.#add(batch, rewards, i, end);
      if (kept > 0) for (let j = i; j < end; j++) this.#kept.add(this.#taken + j - i, rewards[j]!);
      this.#taken += end - i;
      i = end;
      if (this.#taken === sizes[this.#size]!) this.#close();
    }
  }

  /** Responses of one prompt, none of which passes a size. */
  #add({ logProbs, offsets, ended }: Reducible, rewards: NumberList, from: number, to: number): void {
    const { success = Number.POSITIVE_INFINITY, N } = this.#plan;
    let [count, best] = [this.#successes, this.#best];
    // About the first, so that no digits are lost to a large common part.
    const first = rewards[from]!;
    const origin = Number.isFinite(first) ? first : 0;
    let [sum, squares, logProb, complete] = [0, 0, 0, 0];
    for (let i = from; i < to; i++) {
      const reward = rewards[i]!;
      if (reward >= success) count++;
      if (reward > best) best = reward;
      const distance = reward - origin;
      sum += distance;
      squares += distance * distance;
      logProb += logProbs[i]!;
      complete += ended[i]!;
    }
    [this.#successes, this.#best] = [count, best];
    const { sums, rewards: stored, logProbs: storedLogProbs } = this.reduced;
    const at = 5 * this.#p;
    const n = to - from;
    const seen = this.#taken;
    // Chan, Golub & LeVeque (1979).
    const apart = seen === 0 ? 0 : origin + sum / n - sums[at]! / seen;
    sums[at]! += origin * n + sum;
    sums[at + 1]! += squares - sum * (sum / n) + apart * apart * n * (seen / (seen + n));
    sums[at + 2]! += logProb;
    sums[at + 3]! += offsets[to]! - offsets[from]!;
    sums[at + 4]! += complete;
    const place = this.#p * N + seen - from;
    for (let i = from; stored && i < to; i++) stored[place + i] = rewards[i]!;
    for (let i = from; storedLogProbs && i < to; i++) storedLogProbs[place + i] = logProbs[i]!;
  }

  /** A size is complete, and perhaps the prompt. */
  #close(): void {
    const { sizes } = this.#plan;
    const at = this.#p * sizes.length + this.#size;
    this.reduced.successes[at] = this.#successes;
    this.reduced.bestRewards[at] = this.#best;
    if (++this.#size < sizes.length) return;
    if (this.#plan.kept > 0) this.#kept.close(this.#p);
    this.#p++;
    this.#taken = this.#size = this.#successes = 0;
    this.#best = Number.NEGATIVE_INFINITY;
  }
}
