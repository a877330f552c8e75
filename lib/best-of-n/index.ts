/** Best-of-N from models, and Pass@N, pass^N and Best-of-N from recorded samples or exact probabilities. */

export {
  type BestOfN,
  type BestOfNOptions,
  type BestOfNRequest,
  bestOfN,
  type KeptResponses,
  type ResponseStatistics,
} from './best-of-n.ts';
export { type PassBracket, type PassBracketOptions, passBracket } from './bracket.ts';
export {
  type PassInput,
  type PassOptions,
  passAtN,
  passHatN,
  type SampleCounts,
  type SuccessProbabilities,
} from './pass.ts';
export { bestOfNReward, type RewardedResponses, type RewardOptions } from './reward.ts';
export type { Automaton, Reward, RewardFunction, RewardTable } from './rewards.ts';
