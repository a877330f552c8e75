/** Selection of a model among candidates. */

export { type GenerationRequest, onPolicyGenerations } from './generations.ts';
export type { OnPolicyInput, OnPolicyLogProbs } from './on-policy.ts';
export { type PairwiseInput, pairwiseCoverage } from './pairwise.ts';
export type { Tournament } from './result.ts';
export { type TournamentInput, tournament } from './tournament.ts';
