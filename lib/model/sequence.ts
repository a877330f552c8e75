/** What covn needs to know of a model that generates sequences of tokens. */

import { rangeError, shapeError, typeError } from '../errors.ts';
import type { JobOptions } from '../native/index.ts';
import { checkInteger, checkNumberList, checkObject, checkOffsets, type NumberList } from '../validate.ts';

/** Responses to prompts: response i consists of tokens offsets[i] .. offsets[i+1]. */
export interface Responses {
  /** [responses]: the prompt of each, an index. */
  readonly prompts: NumberList;
  /** Tokens of all responses, one response after another. */
  readonly tokens: Int32Array;
  /** [responses + 1], from 0 to the number of tokens. */
  readonly offsets: NumberList;
}

/** Responses that a model drew. */
export interface SampledResponses extends Responses {
  readonly prompts: Int32Array;
  /** [responses]: the number of each among the samples of its prompt. */
  readonly samples: Float64Array;
  readonly offsets: Float64Array;
  /** [responses], nats: log pi(y|x) of what was drawn. */
  readonly logProbs: Float64Array;
  /** [responses]: 1 where the response ended by itself, 0 where it was cut off at `maxLength`. */
  readonly ended: Uint8Array;
}

/** Which samples to draw. */
export interface SampleRequest {
  /** Samples 0 .. N of each prompt, prompt after prompt. Give this or `samples`. */
  readonly N?: number;
  /** The sample of each prompt listed: a list as long as the prompts'. */
  readonly samples?: NumberList;
  /** Whole number in [0, 2^53). Default 0. */
  readonly seed?: number;
  /** The most tokens of a response, in [1, 2^24 - 1]. Default 1024. */
  readonly maxLength?: number;
}

/**
 * A model of responses y to prompts x, given by their index: an exact log pi(y|x), and samples from it. A sample depends
 * on nothing but its prompt, its number and the seed, so that it can be drawn again in place of being kept.
 */
export interface SequenceModel {
  /** Number of tokens. */
  readonly vocab: number;
  /** log pi(y|x) of each response, nats, [responses]. */
  logProb(responses: Responses, options?: JobOptions): Promise<Float64Array>;
  /** Responses from pi(.|x). */
  sample(prompts: NumberList, request: SampleRequest, options?: JobOptions): Promise<SampledResponses>;
}

export const defaultMaxLength = 1024;
const maxResponses = 2 ** 31;
/** The most tokens of a response. */
export const maxTokens = 2 ** 24 - 1;

/** Prompts as indices below `count`. */
export function checkPrompts(prompts: unknown, count: number, name = 'prompts'): Int32Array {
  const list = checkNumberList(prompts, name);
  // Loops here and below: `from` takes 20 times as long.
  const checked = new Int32Array(list.length);
  for (let i = 0; i < list.length; i++) {
    const prompt = list[i]!;
    // Names are spelt out only for what is refused.
    if (!(Number.isInteger(prompt) && prompt >= 0 && prompt < count))
      checkInteger(prompt, `${name}[${i}]`, 0, count - 1);
    checked[i] = prompt;
  }
  return checked;
}

/** Responses whose shape is sound. Tokens are checked where they are read. */
export function checkResponses({ prompts, tokens, offsets }: Responses, count: number) {
  const ids = checkPrompts(prompts, count);
  if (!(tokens instanceof Int32Array)) throw typeError('an Int32Array', 'tokens', tokens);
  const checked = checkOffsets(offsets, tokens.length);
  if (checked.length !== ids.length + 1) {
    throw shapeError(`${ids.length + 1} elements (one more than prompts)`, 'offsets', `${checked.length}`);
  }
  return { prompts: ids, tokens, offsets: checked };
}

function checkTyped<A extends ArrayBufferView & NumberList>(
  value: A,
  type: { new (length: number): A; readonly name: string },
  name: string,
  length: number,
): void {
  if (!(value instanceof type)) throw typeError(`a ${type.name}`, name, value);
  if (value.length !== length) throw shapeError(`${length} elements`, name, `${value.length}`);
}

/** What a model's `sample` gave for a request: by a model that is not covn's, it may be anything. */
export function checkDrawn(
  drawn: SampledResponses,
  asked: { readonly prompts: NumberList; readonly samples: NumberList; readonly vocab: number },
): SampledResponses {
  checkObject(drawn, 'what sample() gave');
  const { prompts, samples, tokens, logProbs, ended } = drawn as SampledResponses;
  const count = asked.prompts.length;
  checkTyped(prompts, Int32Array, 'prompts of sample()', count);
  checkTyped(samples, Float64Array, 'samples of sample()', count);
  checkTyped(logProbs, Float64Array, 'logProbs of sample()', count);
  checkTyped(ended, Uint8Array, 'ended of sample()', count);
  if (!(tokens instanceof Int32Array)) throw typeError('an Int32Array', 'tokens of sample()', tokens);
  const offsets = checkOffsets((drawn as SampledResponses).offsets, tokens.length);
  if (offsets.length !== count + 1)
    throw shapeError(`${count + 1} elements`, 'offsets of sample()', `${offsets.length}`);
  for (let i = 0; i < count; i++) {
    if (prompts[i] !== asked.prompts[i] || samples[i] !== asked.samples[i]) {
      const wanted = `${asked.prompts[i]} and ${asked.samples[i]}, as asked for,`;
      throw rangeError(wanted, `prompt and sample ${i} of sample()`, prompts[i], `${prompts[i]} and ${samples[i]}`);
    }
    if (!(logProbs[i]! <= 1e-6)) throw rangeError('a log-prob', `logProbs[${i}] of sample()`, logProbs[i]);
    if (ended[i]! > 1) throw rangeError('0 or 1', `ended[${i}] of sample()`, ended[i]);
  }
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (!(token >= 0 && token < asked.vocab)) checkInteger(token, `tokens[${i}] of sample()`, 0, asked.vocab - 1);
  }
  return { prompts, samples, tokens, offsets, logProbs, ended };
}

/** Prompts and samples of a request, one of each for every response. */
export function expandRequest(prompts: Int32Array, { N, samples }: SampleRequest) {
  if ((N === undefined) === (samples === undefined))
    throw typeError('either N or samples', 'the request', { N, samples });
  if (samples !== undefined) {
    const list = checkNumberList(samples, 'samples', prompts.length);
    const numbers = new Uint32Array(list.length);
    for (let i = 0; i < list.length; i++) {
      const sample = list[i]!;
      if (!(Number.isInteger(sample) && sample >= 0 && sample < 2 ** 32)) {
        checkInteger(sample, `samples[${i}]`, 0, 2 ** 32 - 1);
      }
      numbers[i] = sample;
    }
    return { prompts: new Uint32Array(prompts), samples: numbers };
  }
  const each = checkInteger(N, 'N', 1, maxResponses);
  const total = prompts.length * each;
  if (total > maxResponses) throw rangeError(`prompts * N up to 2^31`, 'N', N);
  const expanded = { prompts: new Uint32Array(total), samples: new Uint32Array(total) };
  for (let i = 0, p = 0; p < prompts.length; p++) {
    for (let sample = 0; sample < each; sample++, i++) {
      expanded.prompts[i] = prompts[p]!;
      expanded.samples[i] = sample;
    }
  }
  return expanded;
}
