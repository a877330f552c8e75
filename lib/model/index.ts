/** Models that generate sequences. */

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
export {
  checkModelOptions,
  type ModelOptions,
  nativeModel,
  sampleNatively,
  type TabularInput,
  TabularModel,
} from './tabular.ts';
