import { rangeError, typeError } from '../errors.ts';
import { nativeModel, ownNative, type Responses, responseRequest, TabularModel } from '../model/index.ts';
import { checkJobOptions, type JobOptions, runJob, seedWords } from '../native/index.ts';
import {
  checkInteger,
  checkKnownKeys,
  checkNumber,
  checkNumberList,
  checkObject,
  type NumberList,
} from '../validate.ts';
import { LinearModel } from './linear.ts';
import { checkProjection, type Projection } from './projection.ts';
import { type TheoryInput, type TheoryStep, theoryStep } from './theory.ts';

/**
 * How parameters are learned from responses y^t to prompts x^t; eta: the step size, g: the mean over a batch of
 * grad log pi(y|x), Proj: the projection:
 * - 'mle' (Eq. 2): argmax sum_i log pi(y^i | x^i), by Newton's method
 * - 'sgd' (Eq. 14): theta <- Proj(theta + eta g)
 * - 'normalized-sgd' (Eq. 17-18): theta <- Proj(theta + eta g / (lambda + ||g||))
 * - 'sign-sgd' (Eq. 20): theta <- Proj(theta + eta sign(g))
 * - 'adam' (Kingma & Ba 2015)
 * - 'token-sgd' (Eq. 21): the step of 'sgd' for each token, its gradient at the parameters that the token before left
 * - 'truncated-sgd' (Eq. 24-26): 'sgd' with the tokens of a response weighted by `truncationWeights`
 */
export type LearningRule = 'mle' | 'sgd' | 'normalized-sgd' | 'sign-sgd' | 'adam' | 'token-sgd' | 'truncated-sgd';

export interface FitOptions {
  readonly rule: LearningRule;
  /** eta > 0. Default: that of `theory`. */
  readonly stepSize?: number;
  /** What the theorem of the rule makes stepSize, lambda and A of (see `theoryStep`), where they are not given. */
  readonly theory?: Omit<TheoryInput, 'T' | 'H'> & { readonly T?: number; readonly H?: number };
  /** Responses a step, K, the last step of a pass having what is left. Default 1; 'token-sgd' and 'mle' have no batches. */
  readonly batch?: number;
  /** How often the data are gone through. Default 1. */
  readonly passes?: number;
  /** Whether each pass has an order of its own, which `seed` decides; else all have the data's. Default false. */
  readonly shuffle?: boolean;
  /** Whole number in [0, 2^53). Default 0. */
  readonly seed?: number;
  /** 'normalized-sgd': >= 0. */
  readonly lambda?: number;
  /** 'truncated-sgd': log N. */
  readonly A?: number;
  /** 'truncated-sgd': pi_D, on the machine of the model. */
  readonly teacher?: TabularModel | LinearModel;
  /** 'adam'. Default 0.9. */
  readonly beta1?: number;
  /** 'adam'. Default 0.999. */
  readonly beta2?: number;
  /** 'adam'. Default 1e-8. */
  readonly epsilon?: number;
  /** Where parameters are kept, the first too. Default { ball: 1 }. */
  readonly projection?: Projection;
  /** Steps after which parameters are noted: a list, ascending; or every so many, with the first (0) and the last. */
  readonly checkpoints?: number | NumberList;
  /** Called with each checkpoint in turn while the fit goes on, some of them together, at most about 20 times a second. */
  readonly onCheckpoint?: (checkpoint: FitCheckpoint) => void;
  /** 'mle': the projected gradient's norm at which it ends. Default 1e-8. */
  readonly tolerance?: number;
  /** 'mle'. Default 200. */
  readonly maxIterations?: number;
}

export interface FitCheckpoint {
  readonly step: number;
  /** [dimension] */
  readonly theta: Float64Array;
}

export interface Fit {
  /** The model at the last parameters. */
  readonly model: LinearModel;
  /** [dimension]: the last parameters. */
  readonly theta: Float64Array;
  /** [dimension]: the mean of the parameters that steps ('token-sgd': responses) began with. */
  readonly average: Float64Array;
  readonly checkpoints: FitCheckpoint[];
  /** Steps taken ('token-sgd': responses; 'mle': iterations). */
  readonly steps: number;
  /** eta, as given or by the theorem; 0 with 'mle'. */
  readonly stepSize: number;
  /**
   * [passes * responses], nats: log pi(y|x) of each response in the order in which they were met, at the parameters that
   * met it; with 'token-sgd' those of each token. Empty with 'mle'.
   */
  readonly logProbs: Float64Array;
  /** 'mle': ||Proj(theta + g) - theta||, which is the gradient's norm where no bound holds theta. */
  readonly gradientNorm?: number;
  /** 'mle' */
  readonly iterations?: number;
  /** 'mle': whether gradientNorm <= tolerance. */
  readonly converged?: boolean;
  /** 'mle', nats: the mean of log pi(y|x). */
  readonly logProb?: number;
}

const rules = ['mle', 'sgd', 'normalized-sgd', 'sign-sgd', 'adam', 'token-sgd', 'truncated-sgd'];
const optionKeys = [
  ...['rule', 'stepSize', 'theory', 'batch', 'passes', 'shuffle', 'seed', 'lambda', 'A', 'teacher', 'beta1', 'beta2'],
  ...['epsilon', 'projection', 'checkpoints', 'onCheckpoint', 'tolerance', 'maxIterations'],
];
/** Numbers of all checkpoints. */
const maxNoted = 2 ** 27;

function checkCheckpoints({ checkpoints, rule }: FitOptions, steps: number, dimension: number): Float64Array {
  if (checkpoints === undefined) return new Float64Array();
  if (rule === 'mle') throw typeError("no checkpoints (rule 'mle')", 'checkpoints', checkpoints);
  let list: Float64Array;
  if (typeof checkpoints === 'number') {
    const every = checkInteger(checkpoints, 'checkpoints', 1);
    const count = Math.ceil(steps / every) + 1;
    if (count * dimension > maxNoted) throw rangeError('fewer numbers than 2^27', 'checkpoints', checkpoints);
    list = Float64Array.from({ length: count }, (_, i) => Math.min(steps, i * every));
  } else {
    const given = checkNumberList(checkpoints, 'checkpoints');
    list = Float64Array.from({ length: given.length }, (_, i) =>
      checkInteger(given[i], `checkpoints[${i}]`, i === 0 ? 0 : given[i - 1]! + 1, steps),
    );
  }
  if (list.length * dimension > maxNoted) throw rangeError('fewer numbers than 2^27', 'checkpoints', list.length);
  return list;
}

/** Step size, lambda and A: given, or the theorem's. */
function checkSteps(options: FitOptions, T: number, offsets: NumberList): Required<TheoryStep> {
  const { rule, theory } = options;
  if (rule === 'mle') return { stepSize: 0, lambda: 0, A: 0 };
  let prescribed: Partial<TheoryStep> = {};
  if (theory !== undefined) {
    checkObject(theory, 'theory');
    let H = 1;
    for (let i = 1; i < offsets.length; i++) H = Math.max(H, offsets[i]! - offsets[i - 1]!);
    prescribed = theoryStep(rule as 'sgd', { T, H, ...theory });
  }
  const { stepSize, lambda, A } = { ...prescribed, ...defined(options) };
  return {
    stepSize: checkNumber(stepSize, 'stepSize', 0, Number.POSITIVE_INFINITY, true),
    lambda: rule === 'normalized-sgd' ? checkNumber(lambda, 'lambda', 0) : 0,
    A: rule === 'truncated-sgd' ? checkNumber(A, 'A', 0) : 0,
  };
}

const defined = ({ stepSize, lambda, A }: Partial<TheoryStep>): Partial<TheoryStep> => ({
  ...(stepSize !== undefined && { stepSize }),
  ...(lambda !== undefined && { lambda }),
  ...(A !== undefined && { A }),
});

function checkTeacher({ rule, teacher }: FitOptions) {
  if (rule !== 'truncated-sgd') return {};
  const known = teacher instanceof TabularModel || teacher instanceof LinearModel;
  const native = known ? nativeModel(teacher) : undefined;
  if (!native) throw typeError('a TabularModel or a LinearModel', 'teacher', teacher);
  return { teacher: native };
}

/** A share in [0, 1). */
function checkBeta(value: number | undefined, name: string, other: number): number {
  if (value === 1) throw rangeError('a number below 1', name, value);
  return checkNumber(value ?? other, name, 0, 1);
}

/** What the addon is asked for. */
function fitRequest(model: LinearModel, data: Responses, options: FitOptions) {
  const { rule, shuffle = false, onCheckpoint } = options;
  if (!rules.includes(rule)) throw typeError(`one of ${rules.join(', ')}`, 'rule', rule);
  if (typeof shuffle !== 'boolean') throw typeError('a boolean', 'shuffle', shuffle);
  if (onCheckpoint !== undefined && typeof onCheckpoint !== 'function') {
    throw typeError('a function', 'onCheckpoint', onCheckpoint);
  }
  const responses = responseRequest(data, model.prompts);
  const count = responses.prompts.length;
  if (count === 0) throw rangeError('at least one response', 'data', count);
  const batch = checkInteger(options.batch ?? 1, 'batch', 1, 2 ** 31);
  if (rule === 'token-sgd' && batch > 1) throw rangeError("1 (rule 'token-sgd')", 'batch', batch);
  const passes = checkInteger(options.passes ?? 1, 'passes', 1, Math.floor(2 ** 30 / count));
  const steps = passes * Math.ceil(count / batch);
  const checkpoints = checkCheckpoints(options, steps, model.dimension);
  const { stepSize, lambda, A } = checkSteps(options, steps, responses.offsets);
  return {
    ...responses,
    ...checkTeacher(options),
    ...checkProjection(options.projection, model.dimension),
    ...{ model: ownNative(model), rule, batch, passes, shuffle, checkpoints, stepSize, lambda, budget: A },
    seed: seedWords(options.seed ?? 0),
    beta1: checkBeta(options.beta1, 'beta1', 0.9),
    beta2: checkBeta(options.beta2, 'beta2', 0.999),
    epsilon: checkNumber(options.epsilon ?? 1e-8, 'epsilon', 0, Number.POSITIVE_INFINITY, true),
    tolerance: checkNumber(options.tolerance ?? 1e-8, 'tolerance', 0, Number.POSITIVE_INFINITY, true),
    maxIterations: checkInteger(options.maxIterations ?? 200, 'maxIterations', 0, 1e6),
    theta: new Float64Array(model.dimension),
    average: new Float64Array(model.dimension),
    thetas: new Float64Array(checkpoints.length * model.dimension),
    logProbs: new Float64Array(rule === 'mle' ? 0 : passes * count),
    certificate: new Float64Array(4),
    made: new Int32Array(1),
  };
}

/**
 * Learns a linear model's parameters from responses, starting at the model's own. All of it is one job of the addon: the
 * result is a function of model, data, options and seed, whatever the threads. Batches of more than one response use
 * several threads where they are worth it; the other rules go step by step, on one.
 *
 * @throws (as a rejection) TypeError, RangeError (also a token that the machine does not have there), CovnError
 * ERR_COVN_NON_FINITE (parameters that grew without bound), the signal's reason
 */
export async function fit(
  model: LinearModel,
  data: Responses,
  options: FitOptions,
  jobOptions: JobOptions = {},
): Promise<Fit> {
  if (!(model instanceof LinearModel)) throw typeError('a LinearModel', 'model', model);
  checkObject(options as unknown, 'options');
  checkKnownKeys(options, optionKeys, 'options');
  checkObject(jobOptions as unknown, 'the options of the job');
  checkKnownKeys(jobOptions, ['threads', 'signal', 'onProgress'], 'the options of the job');
  checkJobOptions(jobOptions);
  const request = fitRequest(model, data, options);
  // What the caller does to the options meanwhile changes nothing.
  const { rule, theta, average, thetas, made, logProbs, certificate, stepSize, passes, batch } = request;
  const { onCheckpoint } = options;
  const checkpoints: FitCheckpoint[] = [];
  const noteCheckpoints = () => {
    const d = model.dimension;
    for (const count = Atomics.load(made, 0); checkpoints.length < count; ) {
      const i = checkpoints.length;
      checkpoints.push({ step: request.checkpoints[i]!, theta: thetas.slice(i * d, (i + 1) * d) });
      onCheckpoint?.({ step: checkpoints[i]!.step, theta: checkpoints[i]!.theta.slice() });
    }
  };
  const onProgress = (fraction: number) => {
    noteCheckpoints();
    jobOptions.onProgress?.(fraction);
  };
  await runJob('fit', request, { ...jobOptions, onProgress });
  const learned = { model: model.withTheta(theta), theta, average, checkpoints, stepSize, logProbs };
  if (rule !== 'mle') return { ...learned, steps: passes * Math.ceil(request.prompts.length / batch) };
  const [gradientNorm, iterations, converged, logProb] = certificate as unknown as [number, number, number, number];
  return { ...learned, steps: iterations, gradientNorm, iterations, converged: converged === 1, logProb };
}
