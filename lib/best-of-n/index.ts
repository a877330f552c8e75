/** Pass@N, pass^N and Best-of-N from recorded samples. */

export { type PassOptions, passAtN, passHatN, type SampleCounts } from './pass.ts';
export { bestOfNReward, type RewardedResponses, type RewardOptions } from './reward.ts';
