/** Tokens drawn from logits. */

export {
  checkFilter,
  type SampleFilter,
  type SampleInput,
  type SampleOptions,
  type Samples,
  sampleLogits,
} from './sample-logits.ts';
