/** Models over finite machines, with what their responses are rewarded by, as JSON. */

import { text } from 'node:stream/consumers';
import type { Automaton, Reward } from '../best-of-n/index.ts';
import { CovnError } from '../errors.ts';
import { type Responses, TabularModel } from '../model/index.ts';
import { FormatError, listNames, suggest } from './place.ts';
import { openText } from './source.ts';

/** What a file of a model holds. */
export interface ModelFile {
  readonly model: TabularModel;
  readonly reward: Reward;
}

const known = ['vocab', 'logProbs', 'probabilities', 'next', 'start', 'stop', 'references', 'accepted'];

type Json = Record<string, unknown>;
type Shape = readonly [rows: number | undefined, columns: number];

/** What a value is, for an error: not what is in it, however deep that goes. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

/** Nested arrays of numbers in a file. */
class Fields {
  readonly #file: string;
  readonly #json: Json;
  readonly #within: string;

  /** @param within what the names of an object inside another one begin with in errors: "accepted." */
  constructor(file: string, json: Json, names: readonly string[], within = '') {
    this.#file = file;
    this.#json = json;
    this.#within = within;
    const other = Object.keys(json).find((name) => !names.includes(name));
    if (other !== undefined) this.fail(`one of ${listNames(names)}`, 'a name', `'${other}'`, suggest(other, names));
  }

  fail(expected: string, name: string, found: string, hint?: string): never {
    throw new FormatError({ file: this.#file, column: `${this.#within}${name}` }, expected, found, hint);
  }

  has(name: string): boolean {
    return this.#json[name] !== undefined;
  }

  value(name: string): unknown {
    return this.#json[name] ?? this.fail('a value', name, 'none');
  }

  list(name: string): unknown[] {
    const value = this.value(name);
    return Array.isArray(value) ? value : this.fail('an array', name, shown(value));
  }

  /** Numbers, of which `nothing` stands for null. */
  numbers(name: string, list: unknown, nothing?: number): number[] {
    if (!Array.isArray(list)) return this.fail('an array of numbers', name, shown(list));
    return list.map((item, i) => {
      const value = item === null ? nothing : item;
      return typeof value === 'number' ? value : this.fail('a number', `${name}[${i}]`, shown(item));
    });
  }

  /** A whole number in [min, max]. */
  integer(name: string, min: number, max: number, value: unknown = this.value(name)): number {
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    return this.fail(`a whole number in [${min}, ${max}]`, name, shown(value));
  }

  integers(name: string, list: unknown, min: number, max: number): number[] {
    return this.numbers(name, list).map((item, i) => this.integer(`${name}[${i}]`, min, max, item));
  }

  /** [rows, columns] as one list; any number of rows from 1 on, or as many as are given. */
  rows(name: string, [rows, columns]: Shape, read: (name: string, row: unknown) => number[]): number[] {
    const list = this.list(name);
    if (list.length !== (rows ?? Math.max(1, list.length))) {
      this.fail(rows === undefined ? 'at least one state' : `${rows} states`, name, `${list.length}`);
    }
    return list.flatMap((row, r) => {
      const numbers = read(`${name}[${r}]`, row);
      if (numbers.length !== columns) this.fail(`${columns} numbers`, `${name}[${r}]`, `${numbers.length}`);
      return numbers;
    });
  }

  /** States that tokens lead to, [states, vocab]; -1: none. */
  transitions(name: string, states: number, vocab: number): Int32Array {
    const shape: Shape = [states, vocab];
    return Int32Array.from(this.rows(name, shape, (row, list) => this.integers(row, list, -1, states - 1)));
  }
}

/** The references to each prompt, as responses. */
function referencesOf(fields: Fields, { vocab, prompts: expected }: TabularModel): Responses {
  const prompts: number[] = [];
  const offsets = [0];
  const tokens: number[] = [];
  const lists = fields.list('references');
  if (lists.length !== expected) fields.fail(`those of ${expected} prompts`, 'references', `${lists.length}`);
  for (const [prompt, list] of lists.entries()) {
    const name = `references[${prompt}]`;
    if (!Array.isArray(list)) fields.fail('an array of responses', name, shown(list));
    if (list.length === 0) fields.fail('at least one response', name, 'none');
    for (const [r, response] of list.entries()) {
      for (const token of fields.integers(`${name}[${r}]`, response, 0, vocab - 1)) tokens.push(token);
      prompts.push(prompt);
      offsets.push(tokens.length);
    }
  }
  return { prompts, tokens: Int32Array.from(tokens), offsets };
}

function acceptedOf(file: string, fields: Fields, { vocab, prompts }: TabularModel): Automaton {
  const value = fields.value('accepted');
  if (value === null || typeof value !== 'object') fields.fail('an automaton', 'accepted', shown(value));
  const parts = new Fields(file, value as Json, ['next', 'start', 'accepting'], 'accepted.');
  const states = parts.list('next').length;
  if (states === 0) parts.fail('at least one state', 'next', 'none');
  const next = parts.transitions('next', states, vocab);
  const start = parts.value('start');
  if (!Array.isArray(start)) parts.integer('start', 0, states - 1);
  const starts = Array.isArray(start) ? start : Array.from({ length: prompts }, () => start);
  if (starts.length !== prompts) parts.fail(`a state, or those of ${prompts} prompts`, 'start', `${starts.length}`);
  const accepting = parts.integers('accepting', parts.value('accepting'), 0, states - 1);
  return { next, start: parts.integers('start', starts, 0, states - 1), accepting };
}

function rewardOf(file: string, fields: Fields, model: TabularModel): Reward {
  if (fields.has('references') === fields.has('accepted')) {
    const found = fields.has('references') ? 'both' : 'neither';
    fields.fail("either 'references' or 'accepted'", 'the reward', found, 'They say which responses are right');
  }
  return fields.has('references')
    ? { equals: referencesOf(fields, model) }
    : { automaton: acceptedOf(file, fields, model) };
}

function parse(file: string, content: string): ModelFile {
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch (cause) {
    throw new FormatError({ file }, 'JSON', (cause as Error).message, undefined, { cause: cause as Error });
  }
  if (json === null || typeof json !== 'object' || Array.isArray(json)) {
    throw new FormatError({ file }, 'a JSON object with a model', Array.isArray(json) ? 'an array' : String(json));
  }
  const fields = new Fields(file, json as Json, known);
  const vocab = fields.integer('vocab', 1, 2 ** 31 - 1);
  const shares = (name: string, row: unknown) =>
    fields.numbers(name, row).map((share, i) => {
      return share >= 0 && share <= 1 ? share : fields.fail('a probability', `${name}[${i}]`, `${share}`);
    });
  const logProbs = (
    name: string,
    row: unknown, // rounded ones may be a little above 0, as TabularModel has it
  ) =>
    fields.numbers(name, row, Number.NEGATIVE_INFINITY).map((logProb, i) => {
      return logProb <= 1e-6 ? logProb : fields.fail('a log-prob (at most 0)', `${name}[${i}]`, `${logProb}`);
    });
  if (fields.has('logProbs') === fields.has('probabilities')) {
    fields.fail("either 'logProbs' or 'probabilities'", 'the model', fields.has('logProbs') ? 'both' : 'neither');
  }
  const shape: Shape = [undefined, vocab];
  const rows = fields.has('logProbs')
    ? fields.rows('logProbs', shape, logProbs)
    : fields.rows('probabilities', shape, shares).map(Math.log);
  const states = rows.length / vocab;
  const start = fields.integers('start', fields.value('start'), 0, states - 1);
  if (start.length === 0) fields.fail('the state of at least one prompt', 'start', 'none');
  const model = new TabularModel({
    vocab,
    logProbs: Float64Array.from(rows),
    next: fields.transitions('next', states, vocab),
    start,
    ...(fields.has('stop') && { stop: fields.integers('stop', fields.value('stop'), 0, vocab - 1) }),
  });
  return { model, reward: rewardOf(file, fields, model) };
}

/** An error about a model or its reward as one about the file that it came from; any other as it is. */
export function modelError(file: string, error: unknown): unknown {
  const { code } = error as { code?: unknown };
  const ours =
    error instanceof Error && typeof code === 'string' && /^ERR_COVN_(SHAPE|DTYPE|RANGE|NON_FINITE)$/.test(code);
  return ours ? new CovnError('ERR_COVN_FORMAT', `${file}: ${error.message}`, { cause: error }) : error;
}

/**
 * Reads a model over a finite machine from a JSON object: `vocab`; `logProbs` (nats, null for -infinity) or
 * `probabilities`, [states][vocab]; `next`, [states][vocab]; `start`, [prompts]; `stop`; and which responses are right:
 * `references`, [prompts][responses][tokens], or `accepted`, an automaton { next, start, accepting }. As `TabularModel`
 * and the rewards of `bestOfN` have them.
 *
 * @throws (as a rejection) FormatError; CovnError ERR_COVN_FORMAT for a model that is not sound
 */
export async function readModel(file: string, signal?: AbortSignal): Promise<ModelFile> {
  const content = await text(await openText(file, signal));
  try {
    return parse(file, content);
  } catch (error) {
    throw modelError(file, error);
  }
}
