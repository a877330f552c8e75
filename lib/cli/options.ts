/** Options that several commands share, and the reading of their values. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import type { LogProbOptions, ValueKind, ValueUnit } from '../io/index.ts';
import { UsageError } from './usage.ts';

/** "a,b" as a list of names. */
export function names(text: string): string[] {
  const list = text.split(',').map((name) => name.trim());
  if (list.some((name) => name === '')) throw new InvalidArgumentError('Expected names separated by commas.');
  return list;
}

/** A number in [min, max]. */
export function number(min: number, max: number, whole = false) {
  return (text: string): number => {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.trim()) ? Number(text) : Number.NaN;
    if (value >= min && value <= max && (!whole || Number.isInteger(value))) return value;
    const range = max < Number.MAX_SAFE_INTEGER ? `in [${min}, ${max}]` : `>= ${min}`;
    throw new InvalidArgumentError(`Expected a ${whole ? 'whole ' : ''}number ${range}.`);
  };
}

/** Largest number of draws or threshold. */
const LARGEST = 1e15;

/** One character, or \\t for a tab. */
export function character(text: string): string {
  if (text === '\\t') return '\t';
  if (text.length === 1 && !/["\r\n]/.test(text)) return text;
  throw new InvalidArgumentError('Expected one character, not a quotation mark (\\t is a tab).');
}

/** "2,4,8" as numbers >= 1. */
export function sizes(whole = false) {
  const one = number(1, LARGEST, whole);
  return (text: string): number[] => {
    const list = text.split(',');
    if (list.some((item) => item.trim() === ''))
      throw new InvalidArgumentError('Expected numbers separated by commas.');
    return list.map(one);
  };
}

/** A confidence level. */
export function confidence(text: string): number {
  const value = number(0, 1)(text);
  if (value > 0 && value < 1) return value;
  throw new InvalidArgumentError('Expected a number between 0 and 1.');
}

/** What the options of {@link addTableOptions} and {@link addLogProbOptions} parse to. */
export interface TableFlags {
  readonly json?: boolean;
  readonly confidence: number;
  readonly delimiter?: string;
  readonly quotes: boolean;
}

export interface LogProbFlags extends TableFlags {
  readonly sequence?: string[];
  readonly value?: string[];
  readonly modelColumn?: string;
  readonly cluster?: string;
  readonly position?: string;
  readonly kind?: ValueKind;
  readonly unit?: ValueUnit;
  readonly names?: string[];
  /** Of `coverage` and `plan`. */
  readonly ratio?: string | true;
  readonly reference?: string;
  readonly model?: string[];
}

/** The option as it is typed: modelColumn is model-column. */
export const optionName = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Refuses options that the files given, or --ratio, leave without effect: an ignored --cluster is a wrong interval. */
export function checkUsed(files: readonly string[], flags: LogProbFlags): void {
  const refuse = (keys: readonly (keyof LogProbFlags)[], where: string) => {
    const key = keys.find((key) => flags[key] !== undefined);
    if (key !== undefined) throw new UsageError(`--${optionName(key)} has no effect ${where}: leave it out`);
  };
  if (files.every((file) => file.endsWith('.npy'))) {
    const where = 'on .npy files, which have no columns';
    refuse(['cluster', 'sequence', 'position', 'value', 'modelColumn', 'delimiter'], where);
    if (typeof flags.ratio === 'string')
      throw new UsageError(`--ratio ${flags.ratio} names a column, which .npy files lack`);
  }
  if (flags.ratio === undefined) return;
  refuse(
    ['reference', 'model', 'value', 'modelColumn', 'kind', 'names'],
    'with --ratio, which names the column of ratios',
  );
}

/** Options of every command that reads a table. */
export function addTableOptions(command: Command): Command {
  return command
    .option('--confidence <level>', 'confidence of every interval', confidence, 0.95)
    .option(
      '--delimiter <character>',
      'between cells (default: tab, comma or semicolon, as the header has it)',
      character,
    )
    .option('--no-quotes', 'quotation marks are part of the cells')
    .option('--json', 'print one JSON document, nothing else');
}

/** Options of the commands that read log-probs. */
export function addLogProbOptions(command: Command): Command {
  command
    .option('--sequence <columns>', 'columns that name the response; its rows (tokens, words) are summed', names)
    .option('--value <columns>', 'column of the values; in a wide table one per model', names)
    .option('--model-column <column>', "column of the models' names (long table)")
    .option('--cluster <column>', 'column of the prompt or document; intervals become cluster-robust')
    .option('--position <column>', 'column of the position in the response; rows repeated by a rerun are left out')
    .addOption(new Option('--kind <kind>', 'what the values are').choices(['logprob', 'probability', 'surprisal']))
    .addOption(new Option('--unit <unit>', 'unit of log-probs and surprisals').choices(['nats', 'bits', 'base10']))
    .option('--names <names>', "the models' names, one per file (default: what distinguishes the files' names)", names);
  return addTableOptions(command);
}

/** The readers' options from the flags. */
export function logProbOptions(
  flags: LogProbFlags,
  signal: AbortSignal | undefined,
): LogProbOptions & { readonly cluster?: string } {
  const { sequence, value, modelColumn, cluster, position, kind, unit, names, delimiter, quotes } = flags;
  const given = {
    sequence,
    value,
    model: modelColumn,
    cluster,
    position,
    kind,
    unit,
    names,
    delimiter,
    quotes,
    signal,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
