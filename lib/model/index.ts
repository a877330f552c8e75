/** Models that generate sequences. */

export { checkMachine, type MachineInput, machineKeys } from './machine.ts';
export {
  checkModelOptions,
  checkRequest,
  keepNative,
  type ModelOptions,
  nativeModel,
  ownNative,
  responseRequest,
  sampleNatively,
  scoreNatively,
} from './native.ts';
export {
  checkDrawn,
  checkPrompts,
  checkResponses,
  defaultMaxLength,
  maxTokens,
  type Responses,
  type SampledResponses,
  type SampleRequest,
  type SequenceModel,
} from './sequence.ts';
export { type TabularInput, TabularModel } from './tabular.ts';
