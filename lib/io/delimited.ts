/** CSV and TSV, read as a stream by csv-parse. */

import type { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { typeError } from '../errors.ts';
import { FormatError } from './place.ts';
import type { RowSource } from './table.ts';

/** How to read a delimited file. */
export interface DelimitedOptions {
  /** One character. Default: tab, comma or semicolon, whichever the header line holds first in this order. */
  readonly delimiter?: string;
  /** Whether "..." encloses a cell. Default true; false for files whose cells hold bare quotation marks. */
  readonly quotes?: boolean;
}

/** Tab before comma before semicolon: names of columns hold commas more often than tabs. */
export function sniffDelimiter(header: string): string {
  return ['\t', ',', ';'].find((mark) => header.includes(mark)) ?? ',';
}

function parseError(file: string, error: CsvError): FormatError {
  const line = typeof error.lines === 'number' ? error.lines : undefined;
  const hint = 'If quotation marks do not enclose cells in this file, read it without quotes';
  const quote = error.code.includes('QUOTE') || error.code === 'CSV_MAX_RECORD_SIZE';
  return new FormatError({ file, line }, 'well-formed CSV', error.message, quote ? hint : undefined, { cause: error });
}

/**
 * Rows of a delimited stream; the first line names the columns. Empty lines are passed over, except in a
 * table of one column, where they may be missing values; empty cells are not.
 */
export async function openDelimited(
  file: string,
  text: Readable,
  { delimiter = ',', quotes = true }: DelimitedOptions,
): Promise<RowSource> {
  if (delimiter.length !== 1) throw typeError('one character', 'delimiter', delimiter);
  const parser = parse({
    bom: true,
    delimiter,
    quote: quotes ? '"' : null,
    relax_quotes: true,
    relax_column_count: true, // counted here, where the line is known
    max_record_size: 16_000_000,
  });
  text.on('error', (error) => parser.destroy(error));
  text.pipe(parser);
  const records = parser[Symbol.asyncIterator]() as AsyncIterator<string[]>;
  // Lines are counted here: csv-parse's own count per record (`info`) takes twice the time of everything else.
  let line = 0;
  let ahead = 1;
  let empty = 0; // the first empty line after the header
  const next = async () => {
    for (;;) {
      let row: IteratorResult<string[]>;
      try {
        row = await records.next();
      } catch (error) {
        throw error instanceof CsvError ? parseError(file, error) : error;
      }
      if (row.done) return undefined;
      const record = row.value;
      line = ahead;
      ahead++;
      if (quotes) for (const cell of record) if (cell.includes('\n')) ahead += cell.split('\n').length - 1;
      if (record.length > 1 || record[0] !== '') return record;
      empty ||= line;
    }
  };
  const header = await next();
  if (header === undefined) throw new FormatError({ file }, 'a header line', 'no line that holds anything');
  empty = 0;
  const columns = header.map((name) => name.trim());
  const index = new Map(columns.map((name, i) => [name, i]));
  if (index.size < columns.length) {
    const twice = columns.find((name, i) => columns.indexOf(name) !== i);
    throw new FormatError({ file, line: 1 }, 'column names that differ', `'${twice}' twice`);
  }
  return {
    file,
    columns,
    async *rows() {
      try {
        for (;;) {
          const record = await next();
          if (record === undefined) return;
          if (columns.length === 1 && empty > 0) {
            throw new FormatError({ file, line: empty, column: columns[0] }, 'a cell', 'an empty line between others');
          }
          if (record.length !== columns.length) {
            throw new FormatError({ file, line }, `${columns.length} cells, as the header has`, `${record.length}`);
          }
          yield { line, get: (column: string) => record[index.get(column) ?? -1] };
        }
      } finally {
        text.destroy();
      }
    },
    close: () => void text.destroy(),
  };
}
