/** covn: measuring and using a language model's coverage (Chen et al., arXiv 2510.15020). */

export {
  type Automaton,
  type BestOfN,
  type BestOfNOptions,
  type BestOfNRequest,
  bestOfN,
  bestOfNReward,
  type KeptResponses,
  type PassBracket,
  type PassBracketOptions,
  type PassInput,
  type PassOptions,
  passAtN,
  passBracket,
  passHatN,
  type ResponseStatistics,
  type Reward,
  type RewardedResponses,
  type RewardFunction,
  type RewardOptions,
  type RewardTable,
  type SampleCounts,
  type SuccessProbabilities,
} from './best-of-n/index.ts';
export {
  bounds,
  CoverageAccumulator,
  type CoverageOptions,
  CoverageProfile,
  type CurvePoint,
  coverageProfile,
  type RegretBracket,
} from './coverage/index.ts';
export { CovnError, type ErrorCode } from './errors.ts';
export type { Estimate, EstimateOptions } from './estimate/index.ts';
export {
  type Candidates,
  type FeatureOptions,
  type FeatureScales,
  type Graph,
  type GraphFeatures,
  type GraphTask,
  type GraphTaskOptions,
  graphTask,
} from './graph/index.ts';
export {
  type HiddenInput,
  type LogitsArray,
  type LogitsDtype,
  type LogitsInput,
  type PairInput,
  type PairOptions,
  PairScores,
  type ScoreOptions,
  type ScoreOutputs,
  type ScoreSyncOptions,
  type Scores,
  scoreHidden,
  scoreHiddenSync,
  scoreLogits,
  scoreLogitsSync,
  scorePair,
  sumTokens,
  type TokensInput,
} from './logprob/index.ts';
export { type MachineLimits, type MachineOptions, machineLimits } from './machine/index.ts';
export {
  type ModelOptions,
  type Responses,
  type SampledResponses,
  type SampleRequest,
  type SequenceModel,
  type TabularInput,
  TabularModel,
} from './model/index.ts';
export { type Device, type DeviceInfo, devices, type JobOptions, type Ownership } from './native/index.ts';
export {
  type NextLogits,
  type Prefixes,
  type RolloutOptions,
  type RolloutRequest,
  type RolloutResponses,
  rollout,
  type SampleFilter,
  type SampleInput,
  type SampleOptions,
  type SampleOutputs,
  type Samples,
  type Step,
  sampleLogits,
} from './sample/index.ts';
export {
  type GenerationRequest,
  type OnPolicyInput,
  type OnPolicyLogProbs,
  onPolicyGenerations,
  type PairwiseInput,
  pairwiseCoverage,
  type Tournament,
  type TournamentInput,
  tournament,
} from './tournament/index.ts';
