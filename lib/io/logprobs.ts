/** Log-probs of the same responses under several models, from tables or arrays. */

import { basename } from 'node:path';
import { describe, shapeError, typeError } from '../errors.ts';
import { readNpy, shapeText } from './npy.ts';
import { FormatError } from './place.ts';
import {
  checkColumn,
  isNumber,
  numberCell,
  openTable,
  type Row,
  type RowSource,
  type TableOptions,
  textCell,
} from './table.ts';
import {
  inNats,
  type Reading,
  readAs,
  saysValues,
  show,
  toLogProbs,
  ValueColumn,
  type ValueKind,
  type ValueUnit,
} from './values.ts';

/** How to read log-probs. Without `sequence` every row is a response of its own. */
export interface LogProbOptions extends TableOptions {
  /** Column or columns that together name the response; the rows (tokens, words) of one response are summed. */
  readonly sequence?: string | readonly string[];
  /** Column that holds the model's name: one long file. */
  readonly model?: string;
  /** Column or columns of values. In a wide file one per model; default: all other columns of numbers but counts. */
  readonly value?: string | readonly string[];
  /** Column or columns that together name the cluster of a response (its prompt, its document). */
  readonly cluster?: string | readonly string[];
  /** Column that holds a token's position: repeated rows are then found. */
  readonly position?: string;
  /** What the values are. Default: from the column's name or sign, see the `reading` of the result. */
  readonly kind?: ValueKind;
  /** Unit of log-probs and surprisals. Default: from the column's name, else nats. */
  readonly unit?: ValueUnit;
  /** Names of the models, one per file. Default: what distinguishes the files' names. */
  readonly names?: readonly string[];
}

/** Log-probs of n responses under M models. */
export interface LogProbs {
  readonly models: string[];
  /** Names of the responses, [n], in the order of the first file. */
  readonly ids: string[];
  /** Natural log-probs, [M, n] row-major. -Infinity where a value gives probability 0. */
  readonly logProbs: Float64Array;
  /** The same in the unit of the file, `reading.unit`: differences of these are exact where those of nats are rounded. */
  readonly stored: Float64Array;
  /** Rows summed for each response, [n]. */
  readonly tokens: Int32Array;
  /** Cluster of each response, [n], where a cluster column was named. */
  readonly clusters?: string[];
  /** "name: text" of what is suspicious but possible: first-token-zero, duplicate-rows, ties, zero-probability, columns. */
  readonly warnings: string[];
  /** What the values were read as. */
  readonly reading: Reading;
}

const list = (names: string | readonly string[] | undefined): readonly string[] =>
  names === undefined ? [] : typeof names === 'string' ? [names] : names;

/** What distinguishes the files' names: their dot-separated parts without those that all share at either end. */
export function modelNames(files: readonly string[]): string[] {
  const parts = files.map((file) => basename(file).split('.'));
  const shared = (at: number) => parts.every((part) => part.length > 1 && part.at(at) === parts[0]!.at(at));
  let [from, until] = [0, 0];
  const shortest = Math.min(...parts.map((part) => part.length));
  while (from < shortest - 1 && shared(from)) from++;
  while (from + until < shortest - 1 && shared(-1 - until)) until++;
  const names = parts.map((part) => part.slice(from, part.length - until).join('.'));
  return new Set(names).size === files.length ? names : files.map((file) => file);
}

/** A column of a wide file that was taken for text by its first cell, and how many of its cells are numbers. */
interface TextColumn {
  readonly name: string;
  readonly first: Row;
  numbers: number;
}

/** Share of numbers above which a column that begins with text is one of numbers with a bad cell. */
const MOST_NUMBERS = 0.1;

/** Refuses columns of text that hold numbers further down: a model must not vanish for one bad cell. */
function checkText(file: string, columns: readonly TextColumn[], rows: number): void {
  for (const { name, first, numbers } of columns) {
    if (numbers <= MOST_NUMBERS * rows) continue;
    const hint = `${numbers} of its ${rows} cells are numbers. If it is no model, name the models' columns with --value`;
    const place = { file, line: first.line, column: name };
    throw new FormatError(place, 'a number', describe(first.get(name)), hint);
  }
}

/** The value columns of a wide file: as named, else every other column of numbers. */
function wideColumns(source: RowSource, row: Row, options: LogProbOptions, used: ReadonlySet<string>) {
  const named = list(options.value);
  if (named.length > 0) return { columns: named, dropped: [] };
  const columns: string[] = [];
  const dropped: TextColumn[] = [];
  for (const name of source.columns) {
    if (used.has(name)) continue;
    const cell = row.get(name);
    const words =
      typeof cell === 'string' && /[a-z]{2}/i.test(cell) && !/^(na|n\/a|nan|null|none|[+-]?inf\w*)$/i.test(cell.trim());
    if (words || typeof cell === 'object' || typeof cell === 'boolean') dropped.push({ name, first: row, numbers: 0 });
    else columns.push(name);
  }
  return { columns, dropped };
}

/** Reads one file into the columns of its models. */
async function readFile(path: string, options: LogProbOptions, name: string | undefined, warnings: string[]) {
  const source = await openTable(path, options);
  const keys = list(options.sequence);
  const values = list(options.value);
  const clusters = list(options.cluster);
  const single = [...clusters, options.position, options.model].filter((column) => column !== undefined);
  for (const column of [...keys, ...single, ...values]) checkColumn(source, column);
  const used = new Set([...keys, ...single]);
  const wide = name === undefined && options.model === undefined;
  const value = wide ? undefined : valueColumn(source, values, used);
  const models = new Map<string, ValueColumn>();
  let columns: readonly string[] | undefined;
  let dropped: readonly TextColumn[] = [];
  let rows = 0;
  const add = (model: string, column: string, row: Row) => {
    const place = { file: path, line: row.line, column };
    let target = models.get(model);
    if (target === undefined) {
      target = new ValueColumn(model, { file: path, column });
      models.set(model, target);
    }
    const id = keys.length === 0 ? `${row.line}` : keys.map((key) => textCell(path, row, key)).join('\u001f');
    const cluster =
      clusters.length === 0 ? undefined : clusters.map((column) => textCell(path, row, column)).join('\u001f');
    const position = options.position === undefined ? undefined : textCell(path, row, options.position);
    target.add(id, numberCell(path, row, column, true), place, cluster, position);
  };
  for await (const row of source.rows()) {
    if (rows++ === 0 && wide) {
      const chosen = wideColumns(source, row, options, used);
      ({ columns, dropped } = chosen);
    }
    for (const column of dropped) if (isNumber(row.get(column.name))) column.numbers++;
    if (value === undefined) for (const column of columns!) add(column, column, row);
    else add(name ?? textCell(path, row, options.model!), value, row);
  }
  if (rows === 0) throw new FormatError({ file: path }, 'at least one row after the header', 'none');
  checkText(path, dropped, rows);
  if (dropped.length > 0)
    warnings.push(`columns: not numbers, left out: ${dropped.map(({ name }) => name).join(', ')}`);
  return dropWhole([...models.values()], wide && values.length === 0, path, warnings);
}

/** Leaves out the columns of a wide file that hold whole numbers >= 0 only: positions and counts. */
function dropWhole(columns: ValueColumn[], guessed: boolean, file: string, warnings: string[]): ValueColumn[] {
  if (!guessed) return columns;
  const counts = columns.filter(({ whole, lowest, model }) => whole && lowest >= 0 && !saysValues(model));
  if (counts.length > 0) {
    warnings.push(`columns: whole numbers only, left out: ${counts.map((column) => column.model).join(', ')}`);
  }
  const rest = columns.filter((column) => !counts.includes(column));
  if (rest.length === 0) {
    const found = counts.length > 0 ? 'whole numbers only' : 'no column of numbers';
    throw new FormatError({ file }, 'a column of log-probs, one per model', found, 'Name it with --value');
  }
  return rest;
}

/** The one value column of a long file or of a model's own file. */
function valueColumn(source: RowSource, values: readonly string[], used: ReadonlySet<string>): string {
  if (values.length === 1) return values[0]!;
  const rest = source.columns.filter((column) => !used.has(column));
  if (values.length === 0 && rest.length === 1) return rest[0]!;
  const found = values.length > 1 ? `${values.length}` : rest.length === 0 ? 'none' : `several: ${rest.join(', ')}`;
  throw new FormatError({ file: source.file }, 'one column of values', found, 'Name it with --value');
}

/** Arrays: [M, n] in one file, or [n] in each of several. */
async function readArrays(files: readonly string[], names: readonly string[], options: LogProbOptions) {
  const columns: ValueColumn[] = [];
  for (const [f, file] of files.entries()) {
    const { shape, data } = await readNpy(file, options);
    const several = files.length === 1 && shape.length === 2;
    if (!several && shape.length !== 1) {
      throw new FormatError({ file }, 'shape [n], or [models, n] in a single file', shapeText(shape));
    }
    const n = shape.at(-1)!;
    if (several && options.names && options.names.length !== shape[0]) {
      throw shapeError(`${shape[0]} names`, 'names', `${options.names.length}`);
    }
    if (data.length === 0) throw new FormatError({ file }, 'at least one log-prob', `shape ${shapeText(shape)}`);
    for (let m = 0; m < data.length / n; m++) {
      const name = (several ? options.names?.[m] : names[f]) ?? `${m}`;
      const target = new ValueColumn(name, { file });
      for (let i = 0; i < n; i++) {
        const value = data[m * n + i]!;
        const place = { file, column: several ? `[${m}, ${i}]` : `[${i}]` };
        if (Number.isNaN(value)) throw new FormatError(place, 'a number', 'NaN');
        target.add(`${i}`, value, place);
      }
      columns.push(target);
    }
  }
  return columns;
}

/** Refuses models that do not have the same responses with the same number of rows. */
function checkAlignment(first: ValueColumn, other: ValueColumn): Int32Array {
  const refuse = (expected: string, found: string, at?: number) => {
    const column = other.place.file === first.place.file ? other.model : other.place.column;
    const place = { ...other.place, column, line: at === undefined ? undefined : other.lines[at] };
    const hint = 'Every model must be scored on the same responses';
    return new FormatError(place, expected, found, hint, { code: 'ERR_COVN_ALIGNMENT' });
  };
  const from = first.place.file === other.place.file ? first.model : `${first.model} (${first.place.file})`;
  const line = (i: number) => (first.lines[i] === undefined ? '' : ` (line ${first.lines[i]})`);
  for (const [at, id] of other.ids.entries()) {
    const found = `sequence ${show(id)}, which that model lacks`;
    if (!first.index.has(id)) throw refuse(`the sequences of ${from}`, found, at);
  }
  return Int32Array.from(first.ids, (id, i) => {
    const at = other.index.get(id);
    if (at === undefined) throw refuse(`sequence ${show(id)} of ${from}${line(i)}`, 'no row of it');
    if (other.tokens[at] !== first.tokens[i]) {
      throw refuse(
        `${first.tokens[i]} rows of sequence ${show(id)}, as ${from} has${line(i)}`,
        `${other.tokens[at]}`,
        at,
      );
    }
    const [mine, theirs] = [other.clusters[at], first.clusters[i]];
    if (mine !== theirs) {
      throw refuse(`cluster '${theirs}' of sequence ${show(id)}, as ${from} has${line(i)}`, `'${mine}'`, at);
    }
    return at;
  });
}

/**
 * Reads log-probs of the same responses under several models: one long file (`model` names the column of models), one
 * wide file (a column per model), one file per model, or .npy arrays ([M, n], or one [n] per model). Rows of the same
 * response are summed in the order of the file.
 *
 * @throws FormatError ERR_COVN_FORMAT with file, line and column; ERR_COVN_ALIGNMENT where the models' responses differ.
 */
export async function readLogProbs(files: string | readonly string[], options: LogProbOptions = {}): Promise<LogProbs> {
  const paths = list(files);
  if (paths.length === 0) throw typeError('at least one file', 'files', files);
  const names = options.names ?? modelNames(paths);
  const warnings: string[] = [];
  let columns: ValueColumn[] = [];
  if (paths.every((path) => path.endsWith('.npy'))) {
    columns = await readArrays(paths, names, options);
  } else {
    if (names.length !== paths.length)
      throw shapeError(`${paths.length} names, one per file`, 'names', `${names.length}`);
    const perFile = options.model === undefined && (paths.length > 1 || options.names !== undefined);
    for (const [i, path] of paths.entries()) {
      columns.push(...(await readFile(path, options, perFile ? names[i] : undefined, warnings)));
    }
  }
  const twice = columns.find((column, i) => columns.findIndex((other) => other.model === column.model) < i);
  if (twice) throw new FormatError(twice.place, 'models of different names', `'${twice.model}' twice`);
  const reading = readAs(columns, options);
  const first = columns[0]!;
  const n = first.ids.length;
  if (options.cluster !== undefined) first.checkClusters(list(options.cluster).join(', '));
  const stored = new Float64Array(columns.length * n);
  for (const [m, column] of columns.entries()) {
    const order = checkAlignment(first, column);
    const values = toLogProbs(column, reading);
    for (let i = 0; i < n; i++) stored[m * n + i] = values[order[i]!]!;
    warnings.push(...column.warnings(reading.kind));
  }
  return {
    models: columns.map((column) => column.model),
    ids: first.ids.map((id) => id.replaceAll('\u001f', '/')),
    logProbs: reading.unit === 'nats' ? stored : stored.map((value) => inNats(value, reading.unit)),
    stored,
    tokens: Int32Array.from(first.tokens),
    ...(first.clusters.length > 0 && { clusters: first.clusters }),
    warnings: [...new Set(warnings)],
    reading,
  };
}

/** Log ratios log pi_from(y|x) - log pi_model(y|x) in nats, [n]: differences in the unit of the file, then converted. */
export function logRatios({ stored, ids, reading }: LogProbs, from: number, model: number): Float64Array {
  const n = ids.length;
  const of = (m: number) => stored.subarray(m * n, (m + 1) * n);
  const other = of(model);
  return of(from).map((value, i) => inNats(value - other[i]!, reading.unit));
}
