import { rangeError, shapeError, typeError } from '../errors.ts';
import type { LogitsArray, LogitsDtype } from '../logprob/index.ts';
import {
  checkJobOptions,
  type Device,
  type JobOptions,
  limitProgress,
  type Ownership,
  takeTurns,
  untilAborted,
  withSignal,
} from '../native/index.ts';
import { checkInteger, checkKnownKeys, checkNumberList, checkObject, type NumberList } from '../validate.ts';
import { checkFilter, filterKeys, type SampleFilter, sampleLogits } from './sample-logits.ts';

/** The beginnings of responses that wait for their next token: sequence i is tokens offsets[i] .. offsets[i+1]. */
export interface Prefixes {
  /** Prompts with what has been drawn so far, one sequence after another. */
  readonly tokens: Int32Array;
  /** [sequences + 1] */
  readonly offsets: Int32Array;
  /** [sequences]: which prompt each continues, and the number of the response among those to it. */
  readonly prompts: Int32Array;
  readonly samples: Int32Array;
  /** [sequences]: how many of its tokens were drawn. */
  readonly lengths: Int32Array;
  /** [sequences]: a number in [0, batch) that stays a response's own until it has ended: the place of its cache. */
  readonly slots: Int32Array;
}

/** Logits [sequences, vocab] of the token after each prefix. A bare Float32Array, or with their storage. */
export type NextLogits = Float32Array | { readonly logits: LogitsArray; readonly dtype?: LogitsDtype };

/** A model's forward pass. The signal aborts when the rollout is cancelled. */
export type Step = (prefixes: Prefixes, signal: AbortSignal) => NextLogits | Promise<NextLogits>;

/** What to draw. */
export interface RolloutRequest extends SampleFilter {
  /** The tokens of each prompt. */
  readonly prompts: readonly NumberList[];
  /** Responses to each prompt, at least 1. Default 1. */
  readonly N?: number;
  /** The most tokens of a response, at least 1. Default 1024. */
  readonly maxLength?: number;
  /** Whole number in [0, 2^53). Default 0. */
  readonly seed?: number;
  /** Tokens that end a response, which they belong to. Default: none, so that all have `maxLength` tokens. */
  readonly stop?: number | NumberList;
}

export interface RolloutOptions extends JobOptions {
  /** The most responses in progress at a time, in [1, 65536]. Default 64. */
  readonly batch?: number;
  /** Default 'auto'. */
  readonly device?: Device;
  /** What becomes of the step's logits. Default 'copy'; 'transfer' spares the copy where they are made anew each time. */
  readonly ownership?: Ownership;
}

/** Responses of an outside model: prompt after prompt, in the order of their numbers. */
export interface RolloutResponses {
  readonly prompts: Int32Array;
  readonly samples: Float64Array;
  /** Response i is tokens offsets[i] .. offsets[i+1], the prompt's not among them. */
  readonly tokens: Int32Array;
  readonly offsets: Float64Array;
  /** [responses], nats: sums, in double, of the tokens' log-probs (floats) under the logits as they are. */
  readonly logProbs: Float64Array;
  /** The same under the distribution drawn from: after temperature and filters. */
  readonly processedLogProbs: Float64Array;
  /** [responses]: 1 where a stop token ended it, 0 where `maxLength` cut it off. */
  readonly ended: Uint8Array;
}

/** A response in progress. */
interface Sequence {
  readonly index: number;
  readonly prompt: number;
  readonly sample: number;
  readonly slot: number;
  readonly drawn: number[];
  logProb: number;
  processedLogProb: number;
}

const requestKeys = [...filterKeys, 'prompts', 'N', 'maxLength', 'seed', 'stop'];
const mostResponses = 2 ** 27;
const optionKeys = ['batch', 'device', 'ownership', 'threads', 'signal', 'onProgress'];

function checkRequest(request: RolloutRequest) {
  checkObject(request, 'the request');
  const { N = 1, maxLength = 1024, seed = 0, stop = [], ...rest }: RolloutRequest = request;
  checkKnownKeys(request, requestKeys, 'the request');
  if (!Array.isArray(rest.prompts)) throw typeError('an array of token lists', 'prompts', rest.prompts);
  const prompts = Array.from(rest.prompts, (prompt, p) => {
    const list = checkNumberList(prompt, `prompts[${p}]`);
    return Int32Array.from({ length: list.length }, (_, i) =>
      checkInteger(list[i], `prompts[${p}][${i}]`, 0, 2 ** 31 - 1),
    );
  });
  checkInteger(N, 'N', 1, 2 ** 31);
  if (prompts.length * N > mostResponses) throw rangeError('prompts * N up to 2^27 (all are kept)', 'N', N);
  const stops = typeof stop === 'number' ? [stop] : checkNumberList(stop, 'stop');
  return {
    ...{ prompts, N, seed: checkInteger(seed, 'seed', 0) },
    maxLength: checkInteger(maxLength, 'maxLength', 1, 2 ** 31 - 1),
    stop: new Set(Array.from(stops, (token, i) => checkInteger(token, `stop[${i}]`, 0, 2 ** 31 - 1))),
    filter: Object.fromEntries(Object.entries(rest).filter(([key]) => filterKeys.includes(key))) as SampleFilter,
  };
}
type Checked = ReturnType<typeof checkRequest>;

function checkOptions(options: RolloutOptions) {
  checkObject(options, 'options');
  checkKnownKeys(options, optionKeys, 'options');
  checkJobOptions(options);
  return checkInteger((options as RolloutOptions).batch ?? 64, 'batch', 1, 65536);
}

function prefixesOf(active: readonly Sequence[], { prompts }: Checked): Prefixes {
  const offsets = new Int32Array(active.length + 1);
  for (const [i, { prompt, drawn }] of active.entries()) {
    offsets[i + 1] = offsets[i]! + prompts[prompt]!.length + drawn.length;
  }
  const tokens = new Int32Array(offsets[active.length]!);
  for (const [i, { prompt, drawn }] of active.entries()) {
    tokens.set(prompts[prompt]!, offsets[i]);
    tokens.set(drawn, offsets[i]! + prompts[prompt]!.length);
  }
  const each = (value: (sequence: Sequence) => number) => Int32Array.from(active, value);
  return {
    ...{ tokens, offsets },
    prompts: each(({ prompt }) => prompt),
    samples: each(({ sample }) => sample),
    lengths: each(({ drawn }) => drawn.length),
    slots: each(({ slot }) => slot),
  };
}

/** What a step returned, as the input of sampleLogits. */
function checkNext(next: NextLogits, sequences: number, vocab: number | undefined) {
  const given = ArrayBuffer.isView(next) ? { logits: next as Float32Array } : next;
  checkObject(given, 'what the step returned');
  const { logits, dtype } = given as { logits: LogitsArray; dtype?: LogitsDtype };
  if (!(logits instanceof Float32Array || logits instanceof Uint16Array)) {
    throw typeError('a Float32Array or a Uint16Array', 'the logits of a step', logits);
  }
  const columns = vocab ?? logits.length / sequences;
  if (!(Number.isInteger(columns) && columns > 0 && logits.length === sequences * columns)) {
    throw shapeError(
      `${sequences} (sequences) * ${vocab ?? 'vocab'} elements`,
      'the logits of a step',
      `${logits.length}`,
    );
  }
  return { logits, vocab: columns, ...(dtype && { dtype }) };
}

/** Tokens that the model does not have: a stop token among them would never end anything. */
function checkBelow({ prompts, stop }: Checked, vocab: number): void {
  for (const token of stop) checkInteger(token, 'a stop token', 0, vocab - 1);
  for (const [p, prompt] of prompts.entries()) {
    for (const [i, token] of prompt.entries()) checkInteger(token, `prompts[${p}][${i}]`, 0, vocab - 1);
  }
}

/** Responses that have ended, by their index. */
class Finished {
  readonly #tokens: (Int32Array | undefined)[];
  readonly logProbs: Float64Array;
  readonly processedLogProbs: Float64Array;
  readonly ended: Uint8Array;
  count = 0;

  constructor(total: number) {
    this.#tokens = new Array(total);
    this.logProbs = new Float64Array(total);
    this.processedLogProbs = new Float64Array(total);
    this.ended = new Uint8Array(total);
  }

  add({ index, drawn, logProb, processedLogProb }: Sequence, ended: boolean): void {
    this.#tokens[index] = Int32Array.from(drawn);
    this.logProbs[index] = logProb;
    this.processedLogProbs[index] = processedLogProb;
    this.ended[index] = ended ? 1 : 0;
    this.count++;
  }

  responses(N: number): RolloutResponses {
    const total = this.logProbs.length;
    const offsets = new Float64Array(total + 1);
    for (let i = 0; i < total; i++) offsets[i + 1] = offsets[i]! + this.#tokens[i]!.length;
    const tokens = new Int32Array(offsets[total]!);
    for (let i = 0; i < total; i++) tokens.set(this.#tokens[i]!, offsets[i]!);
    const { logProbs, processedLogProbs, ended } = this;
    return {
      prompts: Int32Array.from({ length: total }, (_, i) => Math.floor(i / N)),
      samples: Float64Array.from({ length: total }, (_, i) => i % N),
      ...{ tokens, offsets, logProbs, processedLogProbs, ended },
    };
  }
}

/**
 * Responses of a model outside: covn draws the tokens, `step` gives the logits for them. Up to `batch` responses are in
 * progress; where one ends the next begins, so that a step always has as many prefixes as there are responses left.
 *
 * Token h of response i to prompt p is drawn as `sampleLogits` draws sample i of sequence p at position h: given the same
 * logits, responses are the same whatever the batch and the order in which others end. (Many model servers give logits
 * that differ in their last bits from batch to batch; a token at the boundary then can.)
 *
 * @throws (as a rejection) TypeError, RangeError, CovnError ERR_COVN_NON_FINITE for logits with a NaN, a +inf or nothing
 *   but -inf, what `step` throws, the signal's reason
 */
export async function rollout(
  step: Step,
  request: RolloutRequest,
  options: RolloutOptions = {},
): Promise<RolloutResponses> {
  if (typeof step !== 'function') throw typeError('a function', 'step', step);
  const batch = checkOptions(options);
  const checked = checkRequest(request);
  checkFilter(checked.filter);
  const { N, maxLength, stop, seed, filter } = checked;
  const { onProgress, signal: outer, threads, device, ownership } = options;
  outer?.throwIfAborted();
  const sampling = { ...filter, seed, ...(threads && { threads }), ...(device && { device }) };
  const total = checked.prompts.length * N;
  const finished = new Finished(total);
  const active: Sequence[] = [];
  const free = Array.from({ length: Math.min(batch, total) }, (_, slot) => slot).reverse();
  const report = limitProgress(onProgress);
  const turn = takeTurns();
  let begun = 0;
  let vocab: number | undefined;
  return withSignal(outer, async (signal) => {
    while (finished.count < total) {
      for (; free.length > 0 && begun < total; begun++) {
        const [prompt, sample] = [Math.floor(begun / N), begun % N];
        active.push({ index: begun, prompt, sample, slot: free.pop()!, drawn: [], logProb: 0, processedLogProb: 0 });
      }
      // The step may keep, change or give away what it is handed.
      const next = await untilAborted(step(prefixesOf(active, checked), signal), signal);
      const input = checkNext(next, active.length, vocab);
      if (vocab === undefined) checkBelow(checked, input.vocab);
      vocab = input.vocab;
      const sequence = active.map(({ prompt }) => prompt);
      const position = active.map(({ drawn }) => drawn.length);
      const firstSample = active.map(({ sample }) => sample);
      const counters = { sequence, position, firstSample, ...(ownership && { ownership }) };
      const drawn = await sampleLogits(input, { ...sampling, ...counters, signal });
      for (let i = active.length - 1; i >= 0; i--) {
        const response = active[i]!;
        const token = drawn.ids[i]!;
        response.drawn.push(token);
        response.logProb += drawn.logProb[i]!;
        response.processedLogProb += drawn.processedLogProb[i]!;
        if (!stop.has(token) && response.drawn.length < maxLength) continue;
        finished.add(response, stop.has(token));
        free.push(response.slot);
        active.splice(i, 1);
      }
      report(finished.count / total);
      await turn(); // a step may never leave the thread
    }
    return finished.responses(N);
  });
}
