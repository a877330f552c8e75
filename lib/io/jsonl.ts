/** JSON Lines: one object a line. */

import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { describe } from '../errors.ts';
import { FormatError } from './place.ts';
import type { Row, RowSource } from './table.ts';

function parseLine(file: string, line: number, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const bare = /\b(NaN|-?Infinity)\b/.exec(text)?.[1];
    const hint = bare === undefined ? undefined : `JSON has no ${bare}: write it as a string ("${bare}")`;
    const found = bare ?? (error as Error).message;
    throw new FormatError({ file, line }, 'one JSON object', found, hint, { cause: error });
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    const hint = line === 1 && Array.isArray(value) ? "One object a line, as jq -c '.[]' writes it" : undefined;
    throw new FormatError({ file, line }, 'one JSON object', describe(value), hint);
  }
  return value as Record<string, unknown>;
}

/** Rows of a JSONL stream; the keys of the first object name the columns. Values keep their JSON types. */
export async function openJsonl(file: string, text: Readable): Promise<RowSource> {
  let failure: unknown;
  text.on('error', (error) => {
    failure = error;
  });
  const lines = createInterface({ input: text, crlfDelay: Number.POSITIVE_INFINITY });
  async function* objects(): AsyncGenerator<Row & { readonly keys: string[] }> {
    let line = 0;
    for await (const raw of lines) {
      line++;
      const content = line === 1 ? raw.replace(/^\uFEFF/, '') : raw;
      if (content.trim() === '') continue;
      const object = parseLine(file, line, content);
      yield { line, get: (column) => (Object.hasOwn(object, column) ? object[column] : undefined), keys: Object.keys(object) };
    }
    if (failure) throw failure;
  }
  const iterator = objects();
  const first = await iterator.next();
  if (first.done) throw new FormatError({ file }, 'at least one JSON object', 'no line that holds anything');
  return {
    file,
    columns: first.value.keys,
    async *rows() {
      yield first.value;
      yield* iterator;
    },
    close: () => {
      lines.close();
      text.destroy();
    },
  };
}
