/** CSV and TSV, read as a stream by csv-parse. */

import type { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
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
  if (error.code === 'CSV_RECORD_INCONSISTENT_FIELDS_LENGTH' || error.code === 'CSV_RECORD_INCONSISTENT_COLUMNS') {
    const cells = Array.isArray(error.record) ? `${error.record.length} cells` : error.message;
    return new FormatError({ file, line }, 'as many cells as the header has', cells, undefined, { cause: error });
  }
  const quote = error.code.includes('QUOTE') || error.code === 'CSV_MAX_RECORD_SIZE';
  return new FormatError({ file, line }, 'well-formed CSV', error.message, quote ? hint : undefined, { cause: error });
}

/** Rows of a delimited stream; the first line names the columns. Empty lines are passed over, empty cells are not. */
export async function openDelimited(
  file: string,
  text: Readable,
  { delimiter = ',', quotes = true }: DelimitedOptions,
): Promise<RowSource> {
  const parser = parse({
    bom: true,
    delimiter,
    quote: quotes ? '"' : null,
    relax_quotes: true,
    skip_empty_lines: true,
    info: true,
    max_record_size: 16_000_000,
  });
  text.on('error', (error) => parser.destroy(error));
  text.pipe(parser);
  const records = parser[Symbol.asyncIterator]() as AsyncIterator<{ record: string[]; info: { lines: number } }>;
  const next = async () => {
    try {
      return await records.next();
    } catch (error) {
      throw error instanceof CsvError ? parseError(file, error) : error;
    }
  };
  const header = await next();
  if (header.done) throw new FormatError({ file }, 'a header line', 'no line that holds anything');
  const columns = header.value.record.map((name) => name.trim());
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
          const row = await next();
          if (row.done) return;
          const { record, info } = row.value;
          yield { line: info.lines, get: (column: string) => record[index.get(column) ?? -1] };
        }
      } finally {
        text.destroy();
      }
    },
    close: () => void text.destroy(),
  };
}
