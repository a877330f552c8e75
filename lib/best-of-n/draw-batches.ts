import { nonFiniteError } from '../errors.ts';
import { checkDrawn, type ModelOptions, nativeModel, type SampledResponses, sampleNatively } from '../model/index.ts';
import { addon, limitProgress, takeTurns, untilAborted, withSignal } from '../native/index.ts';
import { checkNumberList, type NumberList } from '../validate.ts';
import type { Plan, Reduced } from './plan.ts';
import { Reducer, type Reducible } from './reduce.ts';
import { endBatches, reportBatch } from './reported-memory.ts';
import { rewardFunction } from './rewards.ts';

/** How batches are handed out: options of bestOfN. */
interface Handing {
  /** Responses at a time. */
  readonly batch: number;
  /** Whether their arrays are taken back from a function. */
  readonly lend: boolean;
}

/**
 * Draws in progress while a batch is rewarded. Of covn's own, which are quick, two keep the threads busy from one to the
 * next; one, where two would use more threads than the call may. The longer arrays live, the dearer it is to collect them.
 */
function drawsInProgress({ model }: Plan, { threads }: ModelOptions): number {
  if (!nativeModel(model)) return 3;
  return threads !== undefined && threads < addon().threadCount() ? 1 : 2;
}

/** The addon draws this many tokens at a time: smaller calls cost more than they draw, larger ones' arrays live longer. */
const nativeTokens = 2 ** 18;

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
    : sampleOutside(plan, prompts, samples, options);
  drawn.catch(() => {}); // whoever takes it from the queue learns of it
  return drawn;
}

/** Responses of a model that is not covn's, which may give anything. */
async function sampleOutside(
  { model, seed, maxLength }: Plan,
  prompts: Uint32Array,
  samples: Uint32Array,
  options: ModelOptions,
): Promise<SampledResponses> {
  // Lists of its own, which it may keep or change.
  const drawn = await model.sample(prompts.slice(), { samples: samples.slice(), seed, maxLength }, options);
  const checked = checkDrawn(drawn, { prompts, samples, vocab: model.vocab });
  // Copies: it may use its arrays again before these responses have their turn.
  return {
    prompts: new Int32Array(checked.prompts),
    samples: new Float64Array(checked.samples),
    tokens: new Int32Array(checked.tokens),
    offsets: new Float64Array(checked.offsets),
    logProbs: new Float64Array(checked.logProbs),
    ended: new Uint8Array(checked.ended),
  };
}

/** Some of the responses that were drawn at once. */
interface Batch {
  readonly drawn: SampledResponses;
  readonly from: number;
  readonly to: number;
}

/** What is read of a batch after its rewards: copies in memory that serves one batch after another. */
class Kept {
  readonly #logProbs: Float64Array;
  readonly #offsets: Float64Array;
  readonly #ended: Uint8Array;

  constructor(batch: number) {
    this.#logProbs = new Float64Array(batch);
    this.#offsets = new Float64Array(batch + 1);
    this.#ended = new Uint8Array(batch);
  }

  of({ drawn: { logProbs, offsets, ended }, from, to }: Batch): Reducible {
    this.#logProbs.set(logProbs.subarray(from, to));
    this.#offsets.set(offsets.subarray(from, to + 1));
    this.#ended.set(ended.subarray(from, to));
    return { logProbs: this.#logProbs, offsets: this.#offsets, ended: this.#ended };
  }
}

/** A batch to hand out: all that was drawn at once, which nothing reads again, or copies. */
function handedOut({ drawn, from, to }: Batch): SampledResponses {
  const { prompts, samples, tokens, offsets, logProbs, ended } = drawn;
  if (to - from === prompts.length) return drawn;
  const begin = offsets[from]!;
  const own = offsets.slice(from, to + 1);
  if (begin > 0) for (let i = 0; i < own.length; i++) own[i]! -= begin;
  return {
    prompts: prompts.slice(from, to),
    samples: samples.slice(from, to),
    tokens: tokens.slice(begin, offsets[to]),
    offsets: own,
    logProbs: logProbs.slice(from, to),
    ended: ended.slice(from, to),
  };
}

function arraysOf({ prompts, samples, tokens, offsets, logProbs, ended }: SampledResponses) {
  return [prompts, samples, tokens, offsets, logProbs, ended];
}

/** Takes back what a caller was handed, whatever has become of the batch itself since. */
function lent(handed: SampledResponses): () => void {
  const arrays = arraysOf(handed);
  return () => addon().detach(...arrays);
}

/** All responses, prompt after prompt, as batches in order. A batch has been rewarded when the next one is asked for. */
async function* drawBatches(
  plan: Plan,
  { batch, lend }: Handing,
  options: ModelOptions & { readonly signal: AbortSignal },
): AsyncGenerator<Batch> {
  const total = plan.prompts.length * plan.N;
  const each = responsesPerDraw(plan, batch);
  const most = drawsInProgress(plan, options);
  const queue: Promise<SampledResponses>[] = [];
  let next = 0;
  const draw = () => {
    for (; next < total && queue.length < most; next += each) {
      queue.push(drawFrom(plan, next, Math.min(each, total - next), options));
    }
  };
  draw();
  try {
    for (let first = 0; first < total; first += each) {
      const drawn = await untilAborted(queue.shift()!, options.signal); // models of others may not know of signals
      draw();
      if (!lend) reportBatch(arraysOf(drawn));
      const takeBack = lent(drawn);
      const count = drawn.prompts.length;
      for (let from = 0; from < count; from += batch) yield { drawn, from, to: Math.min(count, from + batch) };
      if (lend) takeBack();
    }
  } finally {
    endBatches();
  }
}

/** Rewards of responses from number `first` of all on. */
function checkRewards(rewards: NumberList, count: number, { prompts, N }: Plan, first: number): NumberList {
  checkNumberList(rewards, 'the rewards of a batch', count);
  for (let i = 0; i < rewards.length; i++) {
    if (Number.isNaN(rewards[i])) {
      const [p, sample] = [Math.floor((first + i) / N), (first + i) % N];
      throw nonFiniteError('a number', `the reward of sample ${sample} of prompt ${prompts[p]}`, 'NaN');
    }
  }
  return rewards;
}

/** Drawn by the model, rewarded and reduced on the JavaScript thread. */
export function drawInBatches(plan: Plan, handing: Handing, options: ModelOptions): Promise<Reduced> {
  const { onProgress, signal: outer, ...rest } = options;
  const total = plan.prompts.length * plan.N;
  // Models of others that score responses have their ways with them, and do not know what was agreed with a function.
  const lend = handing.lend && plan.reward.kind === 'function';
  const report = limitProgress(onProgress);
  const turn = takeTurns();
  return withSignal(outer, async (signal) => {
    const rewards = rewardFunction(plan.reward, { signal, ...(rest.threads && { threads: rest.threads }) });
    const reducer = new Reducer(plan);
    const kept = new Kept(Math.min(handing.batch, total));
    let done = 0;
    for await (const part of drawBatches(plan, { batch: handing.batch, lend }, { ...rest, signal })) {
      const count = part.to - part.from;
      // A function of the caller's may change or give away what it is handed; it may also take its time, and knows
      // nothing of the signal; or never leave the thread.
      const read = kept.of(part);
      const handed = handedOut(part);
      if (!lend && handed !== part.drawn) reportBatch(arraysOf(handed));
      const takeBack = lent(handed);
      const given = await untilAborted(rewards(handed), signal);
      reducer.take(read, checkRewards(given, count, plan, done)); // the rewards may be one of the arrays handed out
      if (lend) takeBack();
      await turn();
      signal.throwIfAborted();
      done += count;
      report(done / total);
    }
    return reducer.reduced;
  });
}
