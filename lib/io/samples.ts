/** Recorded samples per problem: right or wrong, and rewards. */

import { describe } from '../errors.ts';
import { FormatError, listNames } from './place.ts';
import { checkColumn, openTable, type Row, type RowSource, type TableOptions, textCell, toNumber } from './table.ts';

/** Column names; each has a default that is used where the file has it. */
export interface SampleOptions extends TableOptions {
  /** The problem. Default: the first of problem, task_id, doc_id, idx, id that the file has. */
  readonly problem?: string;
  /** Right or wrong: true / false / 1 / 0, or in JSONL an array of them. Default: correct, passed, score, acc. */
  readonly correct?: string;
  /** What a reward model says: a number, or in JSONL an array. Default: reward, pred_score. */
  readonly reward?: string;
  /** Number of a sample within its problem: rows repeated by a rerun are then found and left out. */
  readonly sample?: string;
  /**
   * Which value of the column `filter` to read. lm-evaluation-harness writes a row per document and filter: the same
   * response, judged several times. Needed where a problem's rows differ in it.
   */
  readonly filter?: string;
}

/** Samples of P problems, one problem after another. */
export interface Samples {
  /** Names of the problems, [P], in the order of the file. */
  readonly problems: string[];
  /** n: samples of each problem, [P]. */
  readonly samples: number[];
  /** c: right samples of each problem, [P], where correctness was recorded. */
  readonly correct?: number[];
  /** Row ranges of `scores` and `rewards`, [P + 1]; absent where only counts were recorded. */
  readonly offsets?: number[];
  /** 1 right, 0 wrong, [total]. */
  readonly scores?: Float64Array;
  /** Rewards, [total]. */
  readonly rewards?: Float64Array;
  readonly warnings: string[];
  /** For people: which columns were read as what. */
  readonly reading: string;
}

const DEFAULTS = {
  problem: ['problem', 'task_id', 'doc_id', 'idx', 'id'],
  correct: ['correct', 'passed', 'score', 'acc'],
  reward: ['reward', 'pred_score'],
};

function pick(source: RowSource, options: SampleOptions, name: keyof typeof DEFAULTS, taken?: string) {
  const stated = options[name];
  if (stated !== undefined) checkColumn(source, stated);
  return stated ?? DEFAULTS[name].find((column) => column !== taken && source.columns.includes(column));
}

/** Right or wrong as 1 or 0; anything else is an error. */
function truth(cell: unknown, place: { file: string; line: number; column: string }): number {
  if (typeof cell === 'boolean') return cell ? 1 : 0;
  const word = typeof cell === 'string' ? cell.trim().toLowerCase() : '';
  if (word === 'true' || word === 'false') return word === 'true' ? 1 : 0;
  const number = toNumber(cell, place);
  if (number === 0 || number === 1) return number;
  throw new FormatError(place, 'true, false, 1 or 0', describe(cell), 'Is this the reward? Name it with --reward');
}

interface Problem {
  readonly scores: number[];
  readonly rewards: number[];
  readonly seen: Map<string, string>;
  readonly filter: unknown;
}

/** A cell as a list: a JSON array's elements (one-element arrays unwrapped), or the one cell. */
function elements(cell: unknown): unknown[] {
  if (!Array.isArray(cell)) return [cell];
  return cell.map((element) => (Array.isArray(element) && element.length === 1 ? element[0] : element));
}

async function readRows(source: RowSource, options: SampleOptions): Promise<Samples> {
  const { file } = source;
  // A column stated for one purpose does not serve the other by default.
  const correct = pick(source, options, 'correct', options.reward);
  const reward = pick(source, options, 'reward', correct);
  const problem = pick(source, options, 'problem');
  if (options.sample !== undefined) checkColumn(source, options.sample);
  if (correct === undefined && reward === undefined) {
    source.close();
    const found = `the columns ${source.columns.join(', ')}`;
    throw new FormatError(
      { file },
      'a column of right or wrong, or of rewards',
      found,
      'Name it with --correct or --reward',
    );
  }
  const filtered = source.columns.includes('filter');
  if (options.filter !== undefined) checkColumn(source, 'filter');
  const filters = new Set<string>();
  const problems = new Map<string, Problem>();
  let repeats = 0;
  for await (const row of source.rows()) {
    const filter = filtered ? row.get('filter') : undefined;
    if (options.filter !== undefined && filter !== options.filter) {
      filters.add(String(filter));
      continue;
    }
    const right = correct === undefined ? undefined : row.get(correct);
    const arrays = Array.isArray(right ?? row.get(reward!));
    if (problem === undefined && !arrays) {
      throw new FormatError({ file }, 'a column of problems', 'none', 'Name it with --problem');
    }
    const id = problem === undefined ? `line ${row.line}` : textCell(file, row, problem);
    let entry = problems.get(id);
    if (entry === undefined) {
      entry = { scores: [], rewards: [], seen: new Map(), filter };
      problems.set(id, entry);
    } else if (entry.filter !== filter) {
      const place = { file, line: row.line, column: 'filter' };
      const hint = 'Each filter judges the same responses again: choose one with --filter';
      throw new FormatError(place, `one filter for problem '${id}'`, `'${filter}' after '${entry.filter}'`, hint);
    } else if (arrays) throw new FormatError({ file, line: row.line }, 'one row a problem', `problem '${id}' again`);
    if (options.sample !== undefined && isRepeat(file, row, options.sample, entry, [correct, reward])) {
      repeats++;
      continue;
    }
    addRow(file, row, entry, correct, reward);
  }
  if (problems.size === 0 && filters.size > 0) {
    const found = `the filters ${listNames([...filters])}`;
    throw new FormatError({ file, column: 'filter' }, `rows of '${options.filter}'`, found);
  }
  if (problems.size === 0) throw new FormatError({ file }, 'at least one row after the header', 'none');
  const columns = [
    problem && `${problem} = problem`,
    correct && `${correct} = right or wrong`,
    reward && `${reward} = reward`,
    options.filter && `filter '${options.filter}'`,
  ];
  const reading = columns.filter(Boolean).join(', ');
  return collect(problems, correct !== undefined, reward !== undefined, repeats, reading);
}

function isRepeat(file: string, row: Row, column: string, { seen }: Problem, values: (string | undefined)[]): boolean {
  const key = textCell(file, row, column);
  const content = JSON.stringify(values.map((name) => name && row.get(name)));
  const before = seen.get(key);
  seen.set(key, content);
  if (before !== undefined && before !== content) {
    throw new FormatError({ file, line: row.line, column }, `one row for sample '${key}'`, 'another that differs');
  }
  return before !== undefined;
}

function addRow(file: string, row: Row, entry: Problem, correct?: string, reward?: string): void {
  const { line } = row;
  const before = [entry.scores.length, entry.rewards.length] as const;
  if (correct !== undefined) {
    for (const cell of elements(row.get(correct))) entry.scores.push(truth(cell, { file, line, column: correct }));
  }
  if (reward !== undefined) {
    for (const cell of elements(row.get(reward))) entry.rewards.push(toNumber(cell, { file, line, column: reward }));
  }
  const [right, rewarded] = [entry.scores.length - before[0], entry.rewards.length - before[1]];
  if (right === 0 && rewarded === 0) {
    throw new FormatError({ file, line, column: correct ?? reward }, 'at least one sample', 'an empty array');
  }
  if (correct !== undefined && reward !== undefined && right !== rewarded) {
    throw new FormatError({ file, line, column: reward }, `${right} rewards, as '${correct}' has`, `${rewarded}`);
  }
}

/** Whether the second half of a problem's samples repeats the first, rewards that are not whole numbers included. */
function halvesAgree({ scores, rewards }: Problem): boolean {
  const half = rewards.length / 2;
  const agree = (list: number[]) => list.slice(half).every((value, i) => value === list[i]);
  return Number.isInteger(half) && rewards.some((r) => !Number.isInteger(r)) && agree(rewards) && agree(scores);
}

function collect(problems: Map<string, Problem>, right: boolean, rewarded: boolean, repeats: number, reading: string) {
  const entries = [...problems.values()];
  const samples = entries.map((entry) => (right ? entry.scores : entry.rewards).length);
  const offsets = [0];
  for (const n of samples) offsets.push(offsets.at(-1)! + n);
  const warnings: string[] = [];
  const [fewest, most] = [samples.reduce((a, b) => Math.min(a, b)), samples.reduce((a, b) => Math.max(a, b))];
  if (repeats > 0) warnings.push(`duplicate-rows: ${repeats} repeated rows left out`);
  const again = entries.filter(halvesAgree).length;
  if (again > entries.length / 2) {
    const what = `of ${again} of ${entries.length} problems the second half of the samples repeats the first`;
    warnings.push(`duplicate-rows: ${what}; rerun appended?`);
  }
  if (fewest < most) warnings.push(`unequal: problems have ${fewest} to ${most} samples; N can be at most ${fewest}`);
  return {
    problems: [...problems.keys()],
    samples,
    ...(right && {
      correct: entries.map((entry) => entry.scores.reduce((a, b) => a + b, 0)),
      scores: Float64Array.from(entries.flatMap((entry) => entry.scores)),
    }),
    ...(rewarded && { rewards: Float64Array.from(entries.flatMap((entry) => entry.rewards)) }),
    offsets,
    warnings,
    reading,
  };
}

async function readCounts(source: RowSource, problem: string): Promise<Samples> {
  const { file } = source;
  const problems = new Set<string>();
  const counts = { samples: [] as number[], correct: [] as number[] };
  for await (const row of source.rows()) {
    const { line } = row;
    const whole = (column: string, min: number, max: number) => {
      const value = toNumber(row.get(column), { file, line, column });
      if (Number.isInteger(value) && value >= min && value <= max) return value;
      const range = max === Number.MAX_SAFE_INTEGER ? `a whole number >= ${min}` : `a whole number in [${min}, ${max}]`;
      throw new FormatError({ file, line, column }, range, `${value}`);
    };
    const id = textCell(file, row, problem);
    if (problems.has(id)) throw new FormatError({ file, line, column: problem }, 'one row a problem', `'${id}' again`);
    problems.add(id);
    const n = whole('n', 1, Number.MAX_SAFE_INTEGER);
    counts.samples.push(n);
    counts.correct.push(whole('c', 0, n));
  }
  if (problems.size === 0) throw new FormatError({ file }, 'at least one row after the header', 'none');
  const reading = `${problem} = problem, n = samples, c = right ones`;
  return { problems: [...problems], ...counts, warnings: [], reading };
}

/**
 * Reads recorded samples: long (a row per sample: problem, right or wrong, reward), counts (a row per problem with
 * columns n and c), or JSONL with arrays (a row per problem: score: [bool, ...], pred_score: [number or [number], ...]).
 * @throws FormatError with file, line and column; a missing value is an error, never 0.
 */
export async function readSamples(path: string, options: SampleOptions = {}): Promise<Samples> {
  const source = await openTable(path, options);
  const problem = pick(source, options, 'problem');
  const stated = options.correct !== undefined || options.reward !== undefined;
  const counts = !stated && problem !== undefined && source.columns.includes('n') && source.columns.includes('c');
  return counts ? readCounts(source, problem) : readRows(source, options);
}
