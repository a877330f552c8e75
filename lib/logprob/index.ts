/** Log-probabilities of tokens and responses. */

export type { LogitsDtype, LogitsInput, ScoreOptions, ScoreOutputs, ScoreSyncOptions, Scores } from './request.ts';
export { scoreLogits, scoreLogitsSync, sumTokens } from './score-logits.ts';
