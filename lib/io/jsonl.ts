/** JSON Lines: one object a line. */

import type { Readable } from 'node:stream';
import { describe } from '../errors.ts';
import { FormatError } from './place.ts';
import type { Row, RowSource } from './table.ts';

const ARRAY = "One object a line, as jq -c '.[]' writes it";

/** What to do about a line that is no JSON. */
function syntaxHint(line: number, text: string, bare: string | undefined): string | undefined {
  if (bare === 'NaN') return 'A missing value is not 0: leave the row out of every file, or fill it in';
  if (bare !== undefined) return `JSON has no ${bare}: write it as a string ("${bare}")`;
  const open = line === 1 && !text.trimEnd().endsWith('}');
  return open
    ? "Pretty-printed JSON? One object a line, as jq -c . writes it (an array in it: jq -c '.key[]')"
    : undefined;
}

function parseLine(file: string, line: number, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const bare = /(?<![\w"])(NaN|-?Infinity)\b/.exec(text)?.[1];
    const found = bare ?? (error as Error).message;
    throw new FormatError({ file, line }, 'one JSON object', found, syntaxHint(line, text, bare), { cause: error });
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new FormatError({ file, line }, 'one JSON object', describe(value), Array.isArray(value) ? ARRAY : undefined);
  }
  return value as Record<string, unknown>;
}

/** Longest line in characters, as for CSV: a file without line ends must not be gathered in memory. */
const LONGEST_LINE = 1 << 24;

/** Lines of a stream, without their ends. Each chunk is searched once, whatever the length of the line it belongs to. */
async function* linesOf(file: string, text: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let parts: string[] = [];
  let length = 0;
  let line = 1;
  const keep = (part: string) => {
    parts.push(part);
    length += part.length;
    if (line === 1 && /^\s*\[/.test(parts[0]!))
      throw new FormatError({ file, line }, 'one JSON object', 'an array', ARRAY);
    if (length > LONGEST_LINE) {
      throw new FormatError({ file, line }, `lines of at most ${LONGEST_LINE} characters`, 'a longer one');
    }
  };
  const take = () => {
    const whole = parts.join('');
    parts = [];
    length = 0;
    line++;
    return whole;
  };
  for await (const chunk of text) {
    const [first, ...others] = decoder.decode(chunk, { stream: true }).split('\n');
    keep(first!);
    for (const other of others) {
      yield take();
      keep(other);
    }
  }
  keep(decoder.decode());
  yield take();
}

/** Rows of a JSONL stream; the keys of the first object name the columns. Values keep their JSON types. */
export async function openJsonl(file: string, text: Readable): Promise<RowSource> {
  async function* objects(): AsyncGenerator<Row & { readonly keys: string[] }> {
    let line = 0;
    for await (const content of linesOf(file, text)) {
      line++;
      if (content.trim() === '') continue;
      const object = parseLine(file, line, content);
      const get = (column: string) => (Object.hasOwn(object, column) ? object[column] : undefined);
      yield { line, get, keys: Object.keys(object) };
    }
  }
  const iterator = objects();
  const first = await iterator.next();
  if (first.done) throw new FormatError({ file }, 'at least one JSON object', 'no line that holds anything');
  return {
    file,
    columns: first.value.keys,
    async *rows() {
      try {
        yield first.value;
        yield* iterator;
      } finally {
        text.destroy();
      }
    },
    close: () => void text.destroy(),
  };
}
