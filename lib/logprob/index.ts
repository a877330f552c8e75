/** Log-probabilities of tokens and responses. */

export { checkApart, outputArray } from './outputs.ts';
export type {
  HiddenInput,
  LogitsArray,
  LogitsDtype,
  LogitsInput,
  PairInput,
  PairOptions,
  ScoreOptions,
  ScoreOutputs,
  ScoreSyncOptions,
  Scores,
  TokensInput,
} from './request.ts';
export { checkLogits } from './request.ts';
export { scoreHidden, scoreHiddenSync } from './score-hidden.ts';
export { scoreLogits, scoreLogitsSync, sumTokens } from './score-logits.ts';
export { PairScores, scorePair, type TokenPairScores } from './score-pair.ts';
