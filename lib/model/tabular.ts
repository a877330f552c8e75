import { shapeError, typeError } from '../errors.ts';
import { addon, type NativeModel, throwStatus } from '../native/index.ts';
import { checkKnownKeys, checkObject, type NumberList } from '../validate.ts';
import { checkMachine, type MachineInput, machineKeys } from './machine.ts';
import {
  checkModelOptions,
  checkRequest,
  keepNative,
  type ModelOptions,
  ownNative,
  sampleNatively,
  scoreNatively,
} from './native.ts';
import type { Responses, SampledResponses, SampleRequest, SequenceModel } from './sequence.ts';

/** A finite machine of contexts, and its distributions. */
export interface TabularInput extends MachineInput {
  /**
   * nats: [states, vocab], row-major; or with `offsets`, [entries], the tokens not named having probability 0. Each
   * state's probabilities sum to 1 within 1e-6 (and are scaled to do so exactly). -Infinity: never drawn.
   */
  readonly logProbs: Float64Array;
}

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
    checkKnownKeys(input, [...machineKeys, 'logProbs'], 'the input');
    const { logProbs } = input;
    if (!(logProbs instanceof Float64Array)) throw typeError('a Float64Array', 'logProbs', logProbs);
    const { machine, sizes } = checkMachine(input);
    if (machine.next.length !== logProbs.length) {
      throw shapeError(`${logProbs.length} elements (those of logProbs)`, 'next', `${machine.next.length}`);
    }
    const made = addon().makeTabularModel({ ...machine, logProbs });
    if ('code' in made) throwStatus(made);
    keepNative(this, made as NativeModel, TabularModel.prototype);
    this.#sizes = sizes;
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
    return scoreNatively(this, responses, options);
  }

  /**
   * Responses from pi(.|x), prompt after prompt.
   * @param prompts indices, in [0, prompts)
   * @throws (as a rejection) TypeError, RangeError, the signal's reason
   */
  async sample(prompts: NumberList, request: SampleRequest, options: ModelOptions = {}): Promise<SampledResponses> {
    checkModelOptions(options);
    return sampleNatively(ownNative(this), checkRequest(prompts, request, this.prompts), options);
  }
}
