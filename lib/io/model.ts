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

/** Nested arrays of numbers in a file. */
class Fields {
  readonly #file: string;
  readonly #json: Json;

  constructor(file: string, json: Json, names: readonly string[]) {
    this.#file = file;
    this.#json = json;
    const other = Object.keys(json).find((name) => !names.includes(name));
    if (other !== undefined) this.fail(`one of ${listNames(names)}`, 'a name', `'${other}'`, suggest(other, names));
  }

  fail(expected: string, name: string, found: string, hint?: string): never {
    throw new FormatError({ file: this.#file, column: name }, expected, found, hint);
  }

  has(name: string): boolean {
    return this.#json[name] !== undefined;
  }

  value(name: string): unknown {
    return this.#json[name] ?? this.fail('a value', name, 'none');
  }

  number(name: string): number {
    const value = this.value(name);
    return typeof value === 'number' ? value : this.fail('a number', name, JSON.stringify(value));
  }

  list(name: string): unknown[] {
    const value = this.value(name);
    return Array.isArray(value) ? value : this.fail('an array', name, JSON.stringify(value).slice(0, 40));
  }

  /** Numbers, of which `nothing` stands for null. */
  numbers(name: string, list: unknown, nothing?: number): number[] {
    if (!Array.isArray(list))
      return this.fail('an array of numbers', name, JSON.stringify(list)?.slice(0, 40) ?? 'none');
    return list.map((item, i) => {
      const value = item === null ? nothing : item;
      return typeof value === 'number' ? value : this.fail('a number', `${name}[${i}]`, JSON.stringify(item));
    });
  }

  /** Whole numbers of 32 bits: rounding them would read another model. */
  integers(name: string, list: unknown): number[] {
    const numbers = this.numbers(name, list);
    const at = numbers.findIndex((item) => item !== (item | 0));
    if (at >= 0) this.fail('a whole number', `${name}[${at}]`, `${numbers[at]}`);
    return numbers;
  }

  /** [rows, columns] as one list. */
  rows(name: string, columns: number, read: (name: string, row: unknown) => number[]): number[] {
    return this.list(name).flatMap((row, r) => {
      const numbers = read(`${name}[${r}]`, row);
      if (numbers.length !== columns) this.fail(`${columns} numbers`, `${name}[${r}]`, `${numbers.length}`);
      return numbers;
    });
  }
}

/** The references to each prompt, as responses. */
function referencesOf(fields: Fields): Responses {
  const prompts: number[] = [];
  const offsets = [0];
  const tokens: number[] = [];
  for (const [prompt, list] of fields.list('references').entries()) {
    if (!Array.isArray(list)) fields.fail('an array of responses', `references[${prompt}]`, JSON.stringify(list));
    for (const [r, response] of list.entries()) {
      for (const token of fields.integers(`references[${prompt}][${r}]`, response)) tokens.push(token);
      prompts.push(prompt);
      offsets.push(tokens.length);
    }
  }
  return { prompts, tokens: Int32Array.from(tokens), offsets };
}

function acceptedOf(file: string, fields: Fields, vocab: number): Automaton {
  const value = fields.value('accepted');
  if (value === null || typeof value !== 'object') fields.fail('an automaton', 'accepted', JSON.stringify(value));
  const parts = new Fields(file, value as Json, ['next', 'start', 'accepting']);
  const start = parts.value('start');
  return {
    next: Int32Array.from(parts.rows('next', vocab, (name, row) => parts.integers(name, row))),
    start: typeof start === 'number' ? start : parts.integers('start', start),
    accepting: parts.integers('accepting', parts.value('accepting')),
  };
}

function rewardOf(file: string, fields: Fields, vocab: number): Reward {
  if (fields.has('references') === fields.has('accepted')) {
    const found = fields.has('references') ? 'both' : 'neither';
    fields.fail("either 'references' or 'accepted'", 'the reward', found, 'They say which responses are right');
  }
  return fields.has('references') ? { equals: referencesOf(fields) } : { automaton: acceptedOf(file, fields, vocab) };
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
  const vocab = fields.number('vocab');
  if (!(Number.isInteger(vocab) && vocab >= 1)) fields.fail('a whole number >= 1', 'vocab', `${vocab}`);
  const shares = (name: string, row: unknown) =>
    fields.numbers(name, row).map((share, i) => {
      return share >= 0 && share <= 1 ? share : fields.fail('a probability', `${name}[${i}]`, `${share}`);
    });
  const logProbs = (name: string, row: unknown) => fields.numbers(name, row, Number.NEGATIVE_INFINITY);
  if (fields.has('logProbs') === fields.has('probabilities')) {
    fields.fail("either 'logProbs' or 'probabilities'", 'the model', fields.has('logProbs') ? 'both' : 'neither');
  }
  const rows = fields.has('logProbs')
    ? fields.rows('logProbs', vocab, logProbs)
    : fields.rows('probabilities', vocab, shares).map(Math.log);
  const model = new TabularModel({
    vocab,
    logProbs: Float64Array.from(rows),
    next: Int32Array.from(fields.rows('next', vocab, (name, row) => fields.integers(name, row))),
    start: fields.numbers('start', fields.value('start')),
    ...(fields.has('stop') && { stop: fields.numbers('stop', fields.value('stop')) }),
  });
  return { model, reward: rewardOf(file, fields, vocab) };
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
