import { typeError } from '../errors.ts';
import {
  checkModelOptions,
  checkRequest,
  type ModelOptions,
  ownNative,
  type Responses,
  responseRequest,
  type SampledResponses,
  type SampleRequest,
  type SequenceModel,
} from '../model/index.ts';
import { resolveDevice, runJob, seedWords } from '../native/index.ts';
import { checkKnownKeys, checkNumber, checkObject, type NumberList } from '../validate.ts';
import { LinearModel } from './linear.ts';
import { checkProjection, type Projection } from './projection.ts';

export interface TestTimeOptions {
  /** eta >= 0; 0: the model itself. The theorem's is that of theoryStep('token-sgd', ...). */
  readonly stepSize: number;
  /** Where parameters are kept once they have moved. Default { ball: 1 }. */
  readonly projection?: Projection;
}

/**
 * Test-time training (Eq. 22-23): each response starts at the model's parameters, which take the step of token-level SGD
 * (Eq. 21) after each of its tokens, sampled or scored, and the next token's distribution uses them:
 * log pi^TTT(y|x) = sum_h log pi_theta_h(y_h | x, y_<h). Scored natively, and sampled by Philox4x32-10: a sample depends on
 * its prompt, its number and the seed alone.
 */
export class TestTimeModel implements SequenceModel {
  readonly #model: LinearModel;
  readonly #rule: object;

  /** @throws TypeError, RangeError */
  constructor(model: LinearModel, options: TestTimeOptions) {
    if (!(model instanceof LinearModel)) throw typeError('a LinearModel', 'model', model);
    checkObject(options as unknown, 'options');
    checkKnownKeys(options, ['stepSize', 'projection'], 'options');
    this.#model = model;
    const stepSize = checkNumber(options.stepSize, 'stepSize', 0);
    this.#rule = { model: ownNative(model), stepSize, ...checkProjection(options.projection, model.dimension) };
  }

  get vocab(): number {
    return this.#model.vocab;
  }

  /** Number of prompts. */
  get prompts(): number {
    return this.#model.prompts;
  }

  /** log pi^TTT(y|x) of responses, nats; -Infinity for what the model cannot say. */
  async logProb(responses: Responses, options: ModelOptions = {}): Promise<Float64Array> {
    checkModelOptions(options);
    const request = responseRequest(responses, this.prompts);
    const logProbs = new Float64Array(request.prompts.length);
    const target = resolveDevice(options.device, 'scoreTestTime');
    await runJob('scoreTestTime', { ...request, ...this.#rule, logProbs, target }, options);
    return logProbs;
  }

  /**
   * Responses from pi^TTT(.|x), prompt after prompt.
   * @param prompts indices, in [0, prompts)
   * @throws (as a rejection) TypeError, RangeError, the signal's reason
   */
  async sample(prompts: NumberList, request: SampleRequest, options: ModelOptions = {}): Promise<SampledResponses> {
    checkModelOptions(options);
    const drawn = checkRequest(prompts, request, this.prompts);
    const asked = {
      ...drawn,
      ...this.#rule,
      seed: seedWords(drawn.seed),
      target: resolveDevice(options.device, 'sampleTestTime'),
    };
    const responses = await runJob<Omit<SampledResponses, 'prompts' | 'samples'>>('sampleTestTime', asked, options);
    return { prompts: new Int32Array(drawn.prompts.buffer), samples: new Float64Array(drawn.samples), ...responses };
  }
}
