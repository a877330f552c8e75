/** Any text source as rows of named columns, and the reading of single cells. */

import type { Readable } from 'node:stream';
import { describe } from '../errors.ts';
import { type DelimitedOptions, openDelimited, sniffDelimiter } from './delimited.ts';
import { openJsonl } from './jsonl.ts';
import { FormatError, listNames, suggest } from './place.ts';
import { openText } from './source.ts';

/** One row: its line (from 1), and a cell by column name: text in CSV and TSV, any JSON value in JSONL. */
export interface Row {
  readonly line: number;
  get(column: string): unknown;
}

/** An open table. `rows` may be walked once; `close` lets go of the file early. */
export interface RowSource {
  readonly file: string;
  readonly columns: readonly string[];
  rows(): AsyncGenerator<Row>;
  close(): void;
}

/** Options of every reader of text. */
export interface TableOptions extends DelimitedOptions {
  /** Default: by the first character of the file, '{' or '[' being JSONL. */
  readonly format?: 'delimited' | 'jsonl';
  /** Ends the reading. */
  readonly signal?: AbortSignal | undefined;
}

/** The first chunk, which stays in the stream: enough to see the header line. Empty where the stream is. */
function peek(text: Readable): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    text.once('error', reject);
    text.once('readable', () => {
      const chunk: Buffer = text.read() ?? Buffer.alloc(0);
      if (chunk.length > 0) text.unshift(chunk);
      text.off('error', reject);
      resolve(chunk);
    });
  });
}

/**
 * Opens a CSV, TSV or JSONL file, a pipe or standard input ('-'), gzip or not. Only what the reader asks for is held in memory.
 * @throws FormatError where the file cannot be read, is empty or is something else.
 */
export async function openTable(path: string, options: TableOptions = {}): Promise<RowSource> {
  const text = await openText(path, options.signal);
  const first = (await peek(text))
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .trimStart();
  if (first === '') {
    text.destroy();
    throw new FormatError({ file: path }, 'a header line', 'nothing but white space');
  }
  const jsonl = options.format === undefined ? /^[{[]/.test(first) : options.format === 'jsonl';
  if (jsonl) return openJsonl(path, text);
  const header = first.split(/[\r\n]/, 1)[0]!;
  return openDelimited(path, text, { ...options, delimiter: options.delimiter ?? sniffDelimiter(header) });
}

/** A whole table in memory. */
export interface Table {
  readonly file: string;
  readonly columns: readonly string[];
  /** Line of each row, from 1. */
  readonly lines: readonly number[];
  /** Cells of each column, [rows]; undefined where a JSONL row lacks the key. */
  readonly cells: ReadonlyMap<string, readonly unknown[]>;
}

/** Reads a table whole: for files that fit in memory. Errors as {@link openTable}. */
export async function readTable(path: string, options: TableOptions = {}): Promise<Table> {
  const source = await openTable(path, options);
  const cells = new Map<string, unknown[]>(source.columns.map((name) => [name, []]));
  const lines: number[] = [];
  for await (const row of source.rows()) {
    lines.push(row.line);
    for (const [name, column] of cells) column.push(row.get(name));
  }
  return { file: path, columns: source.columns, lines, cells };
}

/** Refuses a column that the table lacks, suggesting a near name. */
export function checkColumn(source: RowSource, column: string): void {
  if (source.columns.includes(column)) return;
  source.close();
  const found = `the columns ${listNames(source.columns)}`;
  throw new FormatError({ file: source.file }, `a column '${column}'`, found, suggest(column, source.columns));
}

const MISSING = /^(|na|n\/a|nan|null|none|-|\.|missing)$/i;
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const INFINITE = /^([+-]?)inf(inity)?$/i;

/** Whether a cell holds a number, infinities included. */
export function isNumber(cell: unknown): boolean {
  if (typeof cell !== 'string') return typeof cell === 'number';
  const text = cell.trim();
  return DECIMAL.test(text) || INFINITE.test(text);
}

/** A cell as text; missing is an error. */
export function textCell(file: string, row: Row, column: string): string {
  const cell = row.get(column);
  if (typeof cell === 'string' && cell.trim() !== '') return cell;
  if (typeof cell === 'number' || typeof cell === 'boolean') return String(cell);
  const found = cell === undefined || cell === null || cell === '' ? 'nothing' : describe(cell);
  throw new FormatError({ file, line: row.line, column }, 'a text', found);
}

/**
 * A cell as a number, exactly: no hexadecimal, no white space as 0, no missing value as 0. Infinities only where `infinite`.
 * @throws FormatError with the file, the line and the column.
 */
export function numberCell(file: string, row: Row, column: string, infinite = false): number {
  return toNumber(row.get(column), { file, line: row.line, column }, infinite);
}

/** See {@link numberCell}, for a value from anywhere. */
export function toNumber(
  cell: unknown,
  place: { file: string; line: number; column: string },
  infinite = false,
): number {
  if (typeof cell === 'number' && Number.isFinite(cell)) return cell;
  if (typeof cell === 'string') {
    const text = cell.trim();
    const value = DECIMAL.test(text) ? Number(text) : Number.NaN;
    if (Number.isFinite(value)) return value;
    const sign = INFINITE.exec(text)?.[1];
    if (infinite && sign !== undefined) return sign === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
    if (sign !== undefined) throw new FormatError(place, 'a finite number', `'${text}'`);
    if (MISSING.test(text)) {
      const hint = 'A missing value is not 0: leave the row out of every file, or fill it in';
      throw new FormatError(place, 'a number', `a missing value ('${text}')`, hint);
    }
    const comma = /^[+-]?\d+,\d+$/.test(text) ? 'A decimal point, not a comma' : undefined;
    throw new FormatError(place, 'a number', describe(cell), comma);
  }
  throw new FormatError(place, 'a number', cell === undefined || cell === null ? 'a missing value' : describe(cell));
}
