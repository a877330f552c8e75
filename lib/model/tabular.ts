import { shapeError, typeError } from '../errors.ts';
import {
  addon,
  checkJobOptions,
  type Device,
  type JobOptions,
  type NativeModel,
  privateCopy,
  resolveDevice,
  runJob,
  seedWords,
  throwStatus,
} from '../native/index.ts';
import { checkInteger, checkKnownKeys, checkNumberList, checkObject, type NumberList } from '../validate.ts';
import {
  checkPrompts,
  checkResponses,
  defaultMaxLength,
  expandRequest,
  maxTokens,
  type Responses,
  type SampledResponses,
  type SampleRequest,
  type SequenceModel,
} from './sequence.ts';

/** A finite machine of contexts. */
export interface TabularInput {
  /** Number of tokens, in [1, 2^31 - 1]. */
  readonly vocab: number;
  /**
   * nats: [states, vocab], row-major; or with `offsets`, [entries], the tokens not named having probability 0. Each
   * state's probabilities sum to 1 within 1e-6 (and are scaled to do so exactly). -Infinity: never drawn.
   */
  readonly logProbs: Float64Array;
  /** The state after each token, of the shape of `logProbs`; -1: the response has ended. */
  readonly next: Int32Array;
  /** Sparse machines: [states + 1]; state s has the entries offsets[s] .. offsets[s+1], at least one. */
  readonly offsets?: NumberList;
  /** Sparse machines: [entries], ascending within a state. */
  readonly tokens?: Int32Array;
  /** [prompts]: the state in which the responses to each prompt start. States of a prompt's own make it a machine of its own. */
  readonly start: NumberList;
  /** Tokens that end a response, whatever `next` says. Default: none. */
  readonly stop?: NumberList;
}

/** Options of calls on a model in covn's own hands. */
export interface ModelOptions extends JobOptions {
  /** Default 'auto'. */
  readonly device?: Device;
}

const inputKeys = ['vocab', 'logProbs', 'next', 'offsets', 'tokens', 'start', 'stop'];
const requestKeys = ['N', 'samples', 'seed', 'maxLength'];
const optionKeys = ['device', 'threads', 'signal', 'onProgress'];

/** The addon's model of each TabularModel: whoever holds one cannot reach into it. */
const natives = new WeakMap<TabularModel, NativeModel>();

/** The addon's part of a model; undefined for another kind, and where a class or an object has ways of its own. */
export function nativeModel(model: SequenceModel): NativeModel | undefined {
  const native = natives.get(model as TabularModel);
  const { sample, logProb } = TabularModel.prototype;
  return native && model.sample === sample && model.logProb === logProb ? native : undefined;
}

export function checkModelOptions(options: ModelOptions): void {
  checkObject(options, 'options');
  checkKnownKeys(options, optionKeys, 'options');
  checkJobOptions(options);
}

const int32s = (list: NumberList, name: string, max: number): Int32Array =>
  Int32Array.from({ length: list.length }, (_, i) => checkInteger(list[i], `${name}[${i}]`, 0, max));

/**
 * A model with finitely many contexts (a machine of states, each with its distribution of tokens and its next states), as
 * the exact pi or pi_D of tasks that can be enumerated. Samples are drawn natively with alias tables (Walker 1977) at
 * about a nanosecond a token, by Philox4x32-10: a sample depends on its prompt, its number and the seed alone, and is the
 * same on every instruction set.
 *
 * The constructor copies its input, which it checks; tables are made by the first call that needs them, on covn's threads.
 */
export class TabularModel implements SequenceModel {
  readonly #sizes: { readonly vocab: number; readonly prompts: number; readonly states: number };

  /** @throws TypeError, RangeError, CovnError ERR_COVN_ADDON */
  constructor(input: TabularInput) {
    checkObject(input, 'the input');
    checkKnownKeys(input, inputKeys, 'the input');
    const { logProbs, next, tokens } = input;
    const vocab = checkInteger(input.vocab, 'vocab', 1, 2 ** 31 - 1);
    if (!(logProbs instanceof Float64Array)) throw typeError('a Float64Array', 'logProbs', logProbs);
    if (!(next instanceof Int32Array)) throw typeError('an Int32Array', 'next', next);
    if ((input.offsets === undefined) !== (tokens === undefined)) {
      throw typeError('both offsets and tokens, or neither', 'the input', input);
    }
    if (tokens !== undefined && !(tokens instanceof Int32Array)) throw typeError('an Int32Array', 'tokens', tokens);
    if (next.length !== logProbs.length) {
      throw shapeError(`${logProbs.length} elements (those of logProbs)`, 'next', `${next.length}`);
    }
    const start = int32s(checkNumberList(input.start, 'start'), 'start', 2 ** 31 - 1);
    const offsets = input.offsets && Float64Array.from(checkNumberList(input.offsets, 'offsets'));
    const stop = int32s(checkNumberList(input.stop ?? [], 'stop'), 'stop', vocab - 1);
    const arrays = { logProbs, next, start, stop, ...(offsets && { offsets, tokens }) };
    const made = addon().makeTabularModel({ vocab, ...arrays });
    if ('code' in made) throwStatus(made);
    natives.set(this, made as NativeModel);
    const states = offsets ? offsets.length - 1 : logProbs.length / vocab;
    this.#sizes = { vocab, prompts: start.length, states };
  }

  get vocab(): number {
    return this.#sizes.vocab;
  }

  /** Number of prompts. */
  get prompts(): number {
    return this.#sizes.prompts;
  }

  /** Number of states. */
  get states(): number {
    return this.#sizes.states;
  }

  /**
   * log pi(y|x) of responses, nats, exactly (sums in double). -Infinity for what the model cannot say: a token of
   * probability 0, or one after the response's end. A response that has not ended counts as the beginning that it is.
   */
  async logProb(responses: Responses, options: ModelOptions = {}): Promise<Float64Array> {
    checkModelOptions(options);
    checkObject(responses, 'responses');
    const checked = checkResponses(responses, this.prompts);
    const logProbs = new Float64Array(checked.prompts.length);
    const request = { ...checked, tokens: privateCopy(checked.tokens), model: natives.get(this), logProbs };
    await runJob(addon().scoreTabular, request, options);
    return logProbs;
  }

  /**
   * Responses from pi(.|x), prompt after prompt.
   * @param prompts indices, in [0, prompts)
   * @throws (as a rejection) TypeError, RangeError, the signal's reason
   */
  async sample(prompts: NumberList, request: SampleRequest, options: ModelOptions = {}): Promise<SampledResponses> {
    checkModelOptions(options);
    checkObject(request, 'the request');
    checkKnownKeys(request, requestKeys, 'the request');
    const { seed = 0, maxLength = defaultMaxLength } = request;
    const drawn = {
      ...expandRequest(checkPrompts(prompts, this.prompts), request),
      seed: checkInteger(seed, 'seed', 0),
      maxLength: checkInteger(maxLength, 'maxLength', 1, maxTokens),
    };
    return sampleNatively(natives.get(this)!, drawn, options);
  }
}

/** Responses of one of the addon's models. What is drawn has been checked, and is nobody else's. */
export async function sampleNatively(
  model: NativeModel,
  drawn: { prompts: Uint32Array; samples: Uint32Array; seed: number; maxLength: number },
  options: ModelOptions,
): Promise<SampledResponses> {
  const request = { ...drawn, model, seed: seedWords(drawn.seed), target: resolveDevice(options.device) };
  const responses = await runJob<Omit<SampledResponses, 'prompts' | 'samples'>>(
    addon().sampleTabular,
    request,
    options,
  );
  const { prompts, samples } = drawn;
  return { prompts: new Int32Array(prompts.buffer), samples: new Float64Array(samples), ...responses };
}
