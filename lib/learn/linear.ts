import { typeError } from '../errors.ts';
import {
  checkMachine,
  checkModelOptions,
  checkRequest,
  keepNative,
  type MachineInput,
  type ModelOptions,
  machineKeys,
  ownNative,
  type Responses,
  responseRequest,
  type SampledResponses,
  type SampleRequest,
  type SequenceModel,
  sampleNatively,
  scoreNatively,
} from '../model/index.ts';
import { addon, type NativeModel, type NativeStatus, resolveDevice, runJob, throwStatus } from '../native/index.ts';
import { checkInteger, checkKnownKeys, checkNumberList, checkObject, type NumberList } from '../validate.ts';

/** A machine of contexts, and features phi(x, y_1:h) of each of its entries: a state and a token that it has. */
export interface LinearInput extends MachineInput {
  /** Number of features, d, in [1, 2^24]. */
  readonly dimension: number;
  /** Dense: [entries, dimension], row-major, finite; a dense machine has states * vocab entries. Give these or the next three. */
  readonly features?: Float64Array;
  /** Sparse: [entries + 1]; entry e has the features featureOffsets[e] .. featureOffsets[e + 1]. */
  readonly featureOffsets?: NumberList;
  /** Sparse: in [0, dimension). */
  readonly featureIds?: Int32Array;
  /** Sparse: finite. */
  readonly featureValues?: Float64Array;
  /** [dimension], finite. Default: zeros, under which a state's tokens are equally likely. */
  readonly theta?: Float64Array;
}

/** Mean log-prob of responses and where it grows. */
export interface Gradient {
  /** nats: the mean over responses of log pi(y|x). */
  readonly logProb: number;
  /** [dimension]: the mean of its gradient, sum_h phi(x, y_1:h) - phibar(x, y_<h). */
  readonly gradient: Float64Array;
}

const featureKeys = ['features', 'featureOffsets', 'featureIds', 'featureValues'];

function checkFloat64(value: unknown, name: string): Float64Array {
  if (!(value instanceof Float64Array)) throw typeError('a Float64Array', name, value);
  return value;
}

/** Features as the addon reads them. It checks their values. */
function checkFeatures({ features, featureOffsets, featureIds, featureValues }: LinearInput) {
  if (features !== undefined) {
    if (featureOffsets !== undefined || featureIds !== undefined || featureValues !== undefined) {
      throw typeError('either features or featureOffsets, featureIds and featureValues', 'the input', featureKeys);
    }
    return { features: checkFloat64(features, 'features') };
  }
  if (!(featureIds instanceof Int32Array)) throw typeError('an Int32Array', 'featureIds', featureIds);
  return {
    featureOffsets: Float64Array.from(checkNumberList(featureOffsets, 'featureOffsets')),
    featureIds,
    featureValues: checkFloat64(featureValues, 'featureValues'),
  };
}

function made(model: NativeModel | NativeStatus): NativeModel {
  if ('code' in model) throwStatus(model);
  return model as NativeModel;
}

/** Of a model that `withTheta` makes, which shares what has been checked. */
const shared = Symbol('shared');
interface Shared {
  readonly [shared]: { readonly of: LinearModel; readonly theta: Float64Array };
}

/**
 * An autoregressive linear model (Eq. 3): pi(y_h | x, y_<h) is proportional to exp(<theta, phi(x, y_1:h)>) over the tokens
 * of the state that x and y_<h lead to. It scores and samples natively, as a TabularModel does; tables are made by the
 * first call that needs them. The constructor copies its input, which it checks.
 */
export class LinearModel implements SequenceModel {
  readonly #sizes: { readonly vocab: number; readonly prompts: number; readonly states: number };
  readonly #theta: Float64Array;

  /** @throws TypeError, RangeError, CovnError (ERR_COVN_NON_FINITE, ERR_COVN_ADDON) */
  constructor(input: LinearInput) {
    const from = (input as unknown as Partial<Shared>)?.[shared];
    if (from) {
      this.#sizes = from.of.#sizes;
      this.#theta = Float64Array.from(from.theta);
      const at = addon().linearModelAt({ model: ownNative(from.of), theta: this.#theta });
      keepNative(this, made(at), LinearModel.prototype);
      return;
    }
    checkObject(input, 'the input');
    checkKnownKeys(input, [...machineKeys, ...featureKeys, 'dimension', 'theta'], 'the input');
    const { machine, sizes } = checkMachine(input);
    const dimension = checkInteger(input.dimension, 'dimension', 1, 2 ** 24);
    const features = checkFeatures(input);
    const theta = input.theta === undefined ? new Float64Array(dimension) : checkFloat64(input.theta, 'theta').slice();
    const model = addon().makeLinearModel({ ...machine, ...features, dimension, theta });
    keepNative(this, made(model), LinearModel.prototype);
    this.#sizes = sizes;
    this.#theta = theta;
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

  /** Number of features, d. */
  get dimension(): number {
    return this.#theta.length;
  }

  /** [dimension]: the parameters, a copy. */
  get theta(): Float64Array {
    return this.#theta.slice();
  }

  /** The model with other parameters; machine and features are shared. */
  withTheta(theta: Float64Array): LinearModel {
    const from: Shared = { [shared]: { of: this, theta: checkFloat64(theta, 'theta') } };
    return new LinearModel(from as unknown as LinearInput);
  }

  /**
   * log pi(y|x) of responses, nats. -Infinity for what the model cannot say: a token that a state does not have, or one
   * after the response's end. A response that has not ended counts as the beginning that it is.
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

  /**
   * Means over responses of log pi(y|x) and of its gradient.
   * @throws (as a rejection) TypeError, RangeError (no responses; a token that the machine does not have there), the
   * signal's reason
   */
  async gradient(responses: Responses, options: ModelOptions = {}): Promise<Gradient> {
    checkModelOptions(options);
    const [logProb, gradient] = [new Float64Array(1), new Float64Array(this.dimension)];
    const request = {
      ...responseRequest(responses, this.prompts),
      model: ownNative(this),
      logProb,
      gradient,
      target: resolveDevice(options.device, 'linearGradient'),
    };
    await runJob('linearGradient', request, options);
    return { logProb: logProb[0]!, gradient };
  }
}
