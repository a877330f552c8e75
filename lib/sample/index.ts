/** Tokens drawn from logits. */

export {
  type NextLogits,
  type Prefixes,
  type RolloutOptions,
  type RolloutRequest,
  type RolloutResponses,
  rollout,
  type Step,
} from './rollout.ts';
export {
  checkFilter,
  type SampleFilter,
  type SampleInput,
  type SampleOptions,
  type SampleOutputs,
  type Samples,
  sampleLogits,
} from './sample-logits.ts';
