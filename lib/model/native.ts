/** Models that the addon keeps, and what it does with them. */

import {
  checkJobOptions,
  type Device,
  type JobOptions,
  type NativeModel,
  privateCopy,
  resolveDevice,
  runJob,
  seedWords,
} from '../native/index.ts';
import { checkInteger, checkKnownKeys, checkObject, type NumberList } from '../validate.ts';
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

/** Options of calls on a model in covn's own hands. */
export interface ModelOptions extends JobOptions {
  /** Default 'auto'. */
  readonly device?: Device;
}

const requestKeys = ['N', 'samples', 'seed', 'maxLength'];
const optionKeys = ['device', 'threads', 'signal', 'onProgress'];

/** The addon's model of each object, and the class that it is an object of: whoever holds one cannot reach into it. */
const natives = new WeakMap<SequenceModel, { native: NativeModel; face: SequenceModel }>();

export function keepNative(model: SequenceModel, native: NativeModel, face: SequenceModel): void {
  natives.set(model, { native, face });
}

/** The addon's part of a model; undefined for another kind, and where a class or an object has ways of its own. */
export function nativeModel(model: SequenceModel): NativeModel | undefined {
  const kept = natives.get(model);
  return kept && model.sample === kept.face.sample && model.logProb === kept.face.logProb ? kept.native : undefined;
}

/** The addon's part of an object that has one. */
export const ownNative = (model: SequenceModel): NativeModel => natives.get(model)!.native;

/** `own`: the keys that the call has besides. */
export function checkModelOptions(options: ModelOptions, own: readonly string[] = []): void {
  checkObject(options, 'options');
  checkKnownKeys(options, [...own, ...optionKeys], 'options');
  checkJobOptions(options);
}

/** Responses as the addon reads them. */
export function responseRequest(responses: Responses, prompts: number) {
  checkObject(responses, 'responses');
  const checked = checkResponses(responses, prompts);
  return { ...checked, tokens: privateCopy(checked.tokens) };
}

/** log pi(y|x) of responses by the addon's part of a model. */
export async function scoreNatively(
  model: SequenceModel & { readonly prompts: number },
  responses: Responses,
  options: ModelOptions,
): Promise<Float64Array> {
  checkModelOptions(options);
  const checked = responseRequest(responses, model.prompts);
  const logProbs = new Float64Array(checked.prompts.length);
  const target = resolveDevice(options.device, 'scoreTabular');
  await runJob('scoreTabular', { ...checked, model: ownNative(model), logProbs, target }, options);
  return logProbs;
}

/** What a request of samples asks for. */
export function checkRequest(prompts: NumberList, request: SampleRequest, count: number) {
  checkObject(request, 'the request');
  checkKnownKeys(request, requestKeys, 'the request');
  const { seed = 0, maxLength = defaultMaxLength } = request;
  return {
    ...expandRequest(checkPrompts(prompts, count), request),
    seed: checkInteger(seed, 'seed', 0),
    maxLength: checkInteger(maxLength, 'maxLength', 1, maxTokens),
  };
}

/** Responses of one of the addon's models. What is drawn has been checked, and is nobody else's. */
export async function sampleNatively(
  model: NativeModel,
  drawn: { prompts: Uint32Array; samples: Uint32Array; seed: number; maxLength: number },
  options: ModelOptions,
): Promise<SampledResponses> {
  const { prompts, samples, maxLength } = drawn;
  const seed = seedWords(drawn.seed);
  const target = resolveDevice(options.device, 'sampleTabular');
  const request = { model, prompts, samples, seed, maxLength, target };
  const { tokens, offsets, logProbs, ended } = await runJob<Omit<SampledResponses, 'prompts' | 'samples'>>(
    'sampleTabular',
    request,
    options,
  );
  return {
    prompts: new Int32Array(prompts.buffer),
    samples: new Float64Array(samples),
    tokens,
    offsets,
    logProbs,
    ended,
  };
}
