/** Rewards of responses: what a reward may be, and its value in JavaScript. */

import { nonFiniteError, rangeError, shapeError, typeError } from '../errors.ts';
import { checkResponses, type Responses, type SampledResponses, type SequenceModel } from '../model/index.ts';
import type { JobOptions } from '../native/index.ts';
import {
  checkInteger,
  checkKnownKeys,
  checkNoNaN,
  checkNumberList,
  checkObject,
  type NumberList,
} from '../validate.ts';

/** A deterministic finite automaton that reads a response's tokens. */
export interface Automaton {
  /** The state after each token, [states, columns], row-major; -1: rejected, whatever follows. */
  readonly next: Int32Array;
  /** [vocab]: the column of each token, for automata that tell few tokens apart. Default: each token has its own. */
  readonly classes?: NumberList;
  /** The state before the first token: one for all prompts or one for each of the model's, by its index. */
  readonly start: number | NumberList;
  /** States: a response that leaves the automaton in one of them has reward 1, others 0. Give this or `values`. */
  readonly accepting?: NumberList;
  /** [states]: the reward of a response by the state that it leaves the automaton in. */
  readonly values?: NumberList;
  /** The reward of rejected responses. Default 0. */
  readonly rejected?: number;
}

/** Responses with a reward of their own. */
export interface RewardTable extends Responses {
  /** [responses] */
  readonly values: NumberList;
  /** The reward of all other responses. Default 0. */
  readonly otherwise?: number;
}

/**
 * The rewards [responses] of a batch: numbers, infinite ones too, but not NaN. The arrays of the batch are the function's,
 * unless the call lends them.
 */
export type RewardFunction = (batch: SampledResponses) => NumberList | Promise<NumberList>;

/**
 * What a response is worth. Two responses are equal when all their tokens are, those that end them included.
 * - `equals`: 1 for a response equal to one of the reference responses to its prompt, 0 for others
 * - `table`: by the response
 * - `automaton`: by the state that the response leads to
 * - `logProb`, `logRatio`: log p(y|x) under a model, nats, or that minus log pi(y|x) of the model drawn from
 * - a function, on the JavaScript thread
 */
export type Reward =
  | { readonly equals: Responses }
  | { readonly table: RewardTable }
  | { readonly automaton: Automaton }
  | { readonly logProb: SequenceModel }
  | { readonly logRatio: SequenceModel }
  | RewardFunction;

/** The models' prompts and tokens. */
interface Space {
  /** Largest number of prompts there can be. */
  readonly prompts: number;
  readonly vocab: number;
}

/** An automaton with everything spelt out, as the addon reads it. */
export interface CheckedAutomaton {
  readonly columns: number;
  readonly classes: Uint32Array | undefined;
  readonly next: Int32Array;
  readonly start: number | Int32Array;
  readonly values: Float64Array;
  readonly rejected: number;
}

export interface CheckedTable extends ReturnType<typeof checkResponses> {
  readonly values: Float64Array;
  readonly otherwise: number;
  /** The value of each response by its key. */
  readonly known: ReadonlyMap<string, number>;
}

/** A reward whose parts have been checked. */
export type CheckedReward =
  | { readonly kind: 'function'; readonly reward: RewardFunction }
  | { readonly kind: 'logProb' | 'logRatio'; readonly model: SequenceModel }
  | { readonly kind: 'automaton'; readonly automaton: CheckedAutomaton }
  | { readonly kind: 'table'; readonly table: CheckedTable };

const kinds = ['equals', 'table', 'automaton', 'logProb', 'logRatio'];

/** Checks a reward against the prompts that are asked for. */
export function checkReward(reward: Reward, asked: Int32Array, space: Space): CheckedReward {
  if (typeof reward === 'function') return { kind: 'function', reward };
  checkObject(reward, 'reward');
  checkKnownKeys(reward, kinds, 'reward');
  const given = Object.entries(reward as Record<string, unknown>).filter(([, value]) => value !== undefined);
  if (given.length !== 1) throw typeError(`one of ${kinds.join(', ')}, or a function`, 'reward', reward);
  const [kind, value] = given[0]!;
  checkObject(value, `reward.${kind}`);
  if (kind === 'automaton') return { kind, automaton: checkAutomaton(value as unknown as Automaton, space) };
  if (kind === 'table') return { kind, table: checkTable(value as unknown as RewardTable, space) };
  if (kind === 'equals') {
    const references = value as unknown as Responses;
    const values = new Float64Array(checkNumberList(references.prompts, 'prompts').length).fill(1);
    const table = checkTable({ ...references, values }, space);
    const named = new Set(table.prompts);
    const missing = asked.find((prompt) => !named.has(prompt));
    if (missing !== undefined) throw rangeError('at least one', `the references to prompt ${missing}`, 0, 'none');
    return { kind: 'table', table };
  }
  if (typeof value.logProb !== 'function') throw typeError('a model', `reward.${kind}`, value);
  return { kind: kind as 'logProb' | 'logRatio', model: value as unknown as SequenceModel };
}

// Of what `sample` gives, so that this may serve as it is.
const responseKeys = ['prompts', 'samples', 'tokens', 'offsets', 'logProbs', 'ended', 'rewards'];

function checkTable(table: RewardTable, space: Space): CheckedTable {
  checkKnownKeys(table, [...responseKeys, 'values', 'otherwise'], 'the table of rewards');
  const responses = checkResponses(table, space.prompts);
  const values = Float64Array.from(checkNumberList(table.values, 'values', responses.prompts.length));
  checkNoNaN(values, 'values');
  for (let i = 0; i < responses.tokens.length; i++) {
    const token = responses.tokens[i]!;
    if (!(token >= 0 && token < space.vocab)) checkInteger(token, `tokens[${i}]`, 0, space.vocab - 1);
  }
  const known = new Map<string, number>();
  for (let i = 0; i < values.length; i++) {
    const key = responseKey(responses, i);
    const before = known.get(key) ?? values[i];
    if (before !== values[i]) throw rangeError(`${before} (the same response came before)`, `values[${i}]`, values[i]);
    known.set(key, values[i]!);
  }
  return { ...responses, values, otherwise: checkReal(table.otherwise ?? 0, 'otherwise'), known };
}

function checkReal(value: unknown, name: string): number {
  if (typeof value !== 'number') throw typeError('a number', name, value);
  if (Number.isNaN(value)) throw nonFiniteError('a number', name, 'NaN');
  return value;
}

const automatonKeys = ['next', 'classes', 'start', 'accepting', 'values', 'rejected'];

function checkAutomaton(automaton: Automaton, { vocab }: Space): CheckedAutomaton {
  checkKnownKeys(automaton, automatonKeys, 'reward.automaton');
  const { next, start, rejected = 0 } = automaton;
  if (!(next instanceof Int32Array)) throw typeError('an Int32Array', 'next', next);
  const classes = automaton.classes && checkClasses(automaton.classes, vocab);
  const columns = classes ? classes.reduce((most, column) => Math.max(most, column + 1), 1) : vocab;
  if (next.length === 0 || next.length % columns !== 0) {
    throw shapeError(`a positive multiple of ${columns} (columns) elements`, 'next', `${next.length}`);
  }
  const states = next.length / columns;
  for (let i = 0; i < next.length; i++) {
    if (!(next[i]! >= -1 && next[i]! < states)) checkInteger(next[i], `next[${i}]`, -1, states - 1);
  }
  const state = (value: unknown, name: string) => checkInteger(value, name, 0, states - 1);
  return {
    columns,
    classes,
    next: next.slice(),
    start:
      typeof start === 'number'
        ? state(start, 'start')
        : Int32Array.from(checkNumberList(start, 'start'), (value, prompt) => state(value, `start[${prompt}]`)),
    values: stateValues(automaton, states, state),
    rejected: checkReal(rejected, 'rejected'),
  };
}

function checkClasses(classes: NumberList, vocab: number): Uint32Array {
  const list = checkNumberList(classes, 'classes', vocab);
  return Uint32Array.from({ length: vocab }, (_, token) =>
    checkInteger(list[token], `classes[${token}]`, 0, vocab - 1),
  );
}

function stateValues(
  { accepting, values }: Automaton,
  states: number,
  state: (value: unknown, name: string) => number,
): Float64Array {
  if ((accepting === undefined) === (values === undefined)) {
    throw typeError('either accepting or values', 'reward.automaton', { accepting, values });
  }
  if (values !== undefined) {
    const list = Float64Array.from(checkNumberList(values, 'values', states));
    checkNoNaN(list, 'values');
    return list;
  }
  const of = new Float64Array(states);
  const list = checkNumberList(accepting, 'accepting');
  for (let i = 0; i < list.length; i++) of[state(list[i], `accepting[${i}]`)] = 1;
  return of;
}

/** A reward as a function of batches. Signals reach other models, progress does not. */
export function rewardFunction(reward: CheckedReward, options: JobOptions): RewardFunction {
  switch (reward.kind) {
    case 'function':
      return reward.reward;
    case 'automaton':
      return (batch) => automatonRewards(batch, reward.automaton);
    case 'table':
      return (batch) => tableRewards(batch, reward.table);
    case 'logProb':
      return (batch) => reward.model.logProb(batch, options);
    case 'logRatio':
      return async (batch) => (await reward.model.logProb(batch, options)).map((x, i) => x - batch.logProbs[i]!);
  }
}

function automatonRewards({ prompts, tokens, offsets }: Responses, automaton: CheckedAutomaton): Float64Array {
  const { columns, classes, next, start, values, rejected } = automaton;
  return new Float64Array(prompts.length).map((_, i) => {
    let state = typeof start === 'number' ? start : start[prompts[i]!];
    if (state === undefined) throw shapeError(`a start for prompt ${prompts[i]}`, 'start', 'none');
    for (let h = offsets[i]!; h < offsets[i + 1]! && state >= 0; h++) {
      state = next[state * columns + (classes ? classes[tokens[h]!]! : tokens[h]!)]!;
    }
    return state < 0 ? rejected : values[state]!;
  });
}

/** The response as a key: its prompt and all its tokens. */
const responseKey = ({ prompts, tokens, offsets }: Responses, i: number): string =>
  `${prompts[i]}:${tokens.subarray(offsets[i], offsets[i + 1]).join()}`;

function tableRewards(batch: Responses, { known, otherwise }: CheckedTable): Float64Array {
  return new Float64Array(batch.prompts.length).map((_, i) => known.get(responseKey(batch, i)) ?? otherwise);
}
