/** Finite machines of contexts, as models are given them. */

import { shapeError, typeError } from '../errors.ts';
import { checkInteger, checkNumberList, type NumberList } from '../validate.ts';

/** States, their tokens and where each token leads. */
export interface MachineInput {
  /** Number of tokens, in [1, 2^31 - 1]. */
  readonly vocab: number;
  /** The state after each token, [states, vocab] or, with `offsets`, [entries]; -1: the response has ended. */
  readonly next: Int32Array;
  /** Sparse machines: [states + 1]; state s has the entries offsets[s] .. offsets[s+1], at least one. */
  readonly offsets?: NumberList;
  /** Sparse machines: [entries], ascending within a state. */
  readonly tokens?: Int32Array;
  /** [prompts]: the state in which the responses to each prompt start. States of a prompt's own make it a machine of its own. */
  readonly start: NumberList;
  /** Tokens that end a response, whatever `next` says. Default: none. */
  readonly stop?: NumberList;
}

export const machineKeys = ['vocab', 'next', 'offsets', 'tokens', 'start', 'stop'];

const int32s = (list: NumberList, name: string, max: number): Int32Array =>
  Int32Array.from({ length: list.length }, (_, i) => checkInteger(list[i], `${name}[${i}]`, 0, max));

/** A machine whose shape is sound, as the addon reads it. It checks where tokens lead. */
export function checkMachine(input: MachineInput) {
  const { next, tokens } = input;
  const vocab = checkInteger(input.vocab, 'vocab', 1, 2 ** 31 - 1);
  if (!(next instanceof Int32Array)) throw typeError('an Int32Array', 'next', next);
  if ((input.offsets === undefined) !== (tokens === undefined)) {
    throw typeError('both offsets and tokens, or neither', 'the input', input);
  }
  if (tokens !== undefined && !(tokens instanceof Int32Array)) throw typeError('an Int32Array', 'tokens', tokens);
  const start = int32s(checkNumberList(input.start, 'start'), 'start', 2 ** 31 - 1);
  const offsets = input.offsets && Float64Array.from(checkNumberList(input.offsets, 'offsets'));
  if (offsets?.length === 0) throw shapeError('at least one element', 'offsets', '0');
  const stop = int32s(checkNumberList(input.stop ?? [], 'stop'), 'stop', vocab - 1);
  const states = offsets ? offsets.length - 1 : next.length / vocab;
  return {
    machine: { vocab, next, start, stop, ...(offsets && { offsets, tokens }) },
    sizes: { vocab, prompts: start.length, states },
  };
}
