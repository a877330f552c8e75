/** Exact expectations under a model with finitely many contexts, by dynamic programming over its machine. */

import { typeError } from '../errors.ts';
import { checkPrompts, maxTokens, nativeModel, type SequenceModel, TabularModel } from '../model/index.ts';
import { checkJobOptions, type JobOptions, type NativeModel, runJob } from '../native/index.ts';
import { checkInteger, checkKnownKeys, checkObject, type NumberList } from '../validate.ts';
import { LinearModel } from './linear.ts';

/** A model whose contexts are the states of a machine. */
export type MachineModel = TabularModel | LinearModel;

export interface ExactOptions extends JobOptions {
  /** Indices. Default: all. */
  readonly prompts?: NumberList;
  /** Responses are cut off after so many tokens. Needed by machines with loops. Default: nowhere. */
  readonly maxLength?: number;
}

/** The exact distribution of log pi_D(y|x) - log pi(y|x) under pi_D, prompt after prompt. */
export interface LogRatios {
  /** [values]: the prompt of each. */
  readonly prompts: Int32Array;
  /** [values], nats: ascending within a prompt, equal ones (within 1e-9) merged. +Infinity where pi does not cover y. */
  readonly logRatios: Float64Array;
  /** [values]: their probabilities, which sum to 1 within a prompt. */
  readonly weights: Float64Array;
}

function machineOf(model: SequenceModel, name: string): NativeModel {
  const known = model instanceof TabularModel || model instanceof LinearModel;
  const native = known ? nativeModel(model) : undefined;
  if (!native) throw typeError('a TabularModel or a LinearModel', name, model);
  return native;
}

function exactRequest(reference: MachineModel, model: MachineModel, options: ExactOptions) {
  const natives = { reference: machineOf(reference, 'reference'), model: machineOf(model, 'model') };
  checkObject(options, 'options');
  checkKnownKeys(options, ['prompts', 'maxLength', 'threads', 'signal', 'onProgress'], 'options');
  checkJobOptions(options);
  const { maxLength } = options;
  const all = options.prompts ?? Int32Array.from({ length: model.prompts }, (_, i) => i);
  return {
    ...natives,
    prompts: Uint32Array.from(checkPrompts(all, model.prompts)),
    maxLength: maxLength === undefined ? 0 : checkInteger(maxLength, 'maxLength', 1, maxTokens),
  };
}

/**
 * KL(reference || model) of responses to each prompt, nats: the sum over the reference's states of the probability of
 * being there times the KL of the next token. +Infinity where the model does not cover the reference.
 * @returns [prompts]
 * @throws (as a rejection) TypeError, RangeError (models of different machines; a loop without `maxLength`)
 */
export async function exactKl(
  reference: MachineModel,
  model: MachineModel,
  options: ExactOptions = {},
): Promise<Float64Array> {
  const request = exactRequest(reference, model, options);
  const out = new Float64Array(request.prompts.length);
  await runJob('exactKl', { ...request, out }, options);
  return out;
}

/**
 * Inherent variance sigma*^2 (Eq. 8) of the model's features under the reference, for each prompt:
 * E[sum_h ||phi(x, y_1:h) - phibar(x, y_<h)||^2], phibar the mean over the reference's next token. The model's parameters
 * do not matter.
 * @returns [prompts]
 * @throws (as a rejection) TypeError, RangeError (models of different machines; a loop without `maxLength`)
 */
export async function inherentVariance(
  reference: MachineModel,
  model: LinearModel,
  options: ExactOptions = {},
): Promise<Float64Array> {
  if (!(model instanceof LinearModel)) throw typeError('a LinearModel', 'model', model);
  const request = exactRequest(reference, model, options);
  const out = new Float64Array(request.prompts.length);
  await runJob('inherentVariance', { ...request, out }, options);
  return out;
}

/**
 * The exact distribution of log reference(y|x) - log model(y|x) under the reference, of each prompt: what
 * `coverageProfile(logRatios, { weights })` takes. Responses that take the same steps in another order are merged as they
 * grow, so that i.i.d. tokens cost no more than their counts.
 * @throws (as a rejection) TypeError, RangeError (models of different machines; a loop without `maxLength`; more than 2^20
 * different values for a prompt)
 */
export async function exactLogRatios(
  reference: MachineModel,
  model: MachineModel,
  options: ExactOptions = {},
): Promise<LogRatios> {
  const request = exactRequest(reference, model, options);
  const { logRatios, weights, offsets } = await runJob<Omit<LogRatios, 'prompts'> & { offsets: Float64Array }>(
    'exactLogRatios',
    request,
    options,
  );
  const prompts = new Int32Array(logRatios.length);
  for (const [i, prompt] of request.prompts.entries()) prompts.fill(prompt, offsets[i], offsets[i + 1]);
  return { prompts, logRatios, weights };
}
