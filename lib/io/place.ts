/** Errors about the content of a file: where, what was expected, what was found. */

import { CovnError, type ErrorCode } from '../errors.ts';

/** Where in a file: the line counts from 1, the byte from 0. */
export interface Place {
  readonly file: string;
  readonly line?: number | undefined;
  readonly byte?: number | undefined;
  readonly column?: string | undefined;
}

/** Text without control characters: what a file holds may be anything, escape codes for the terminal included. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '\uFFFD');
}

/** "data.csv, line 3, column 'logprob'" */
export function placeText({ file, line, byte, column }: Place): string {
  let text = file === '-' ? 'standard input' : file;
  if (line !== undefined) text += `, line ${line}`;
  if (byte !== undefined) text += `, byte ${byte}`;
  if (column !== undefined) text += `, column '${column}'`;
  return text;
}

/** A file that holds something other than what was expected. Code ERR_COVN_FORMAT, or ERR_COVN_ALIGNMENT. */
export class FormatError extends CovnError {
  readonly place: Place;
  readonly expected: string;
  readonly found: string;
  /** What to do about it, where that is known. */
  readonly hint: string | undefined;

  constructor(
    place: Place,
    expected: string,
    content: string,
    hint?: string,
    options?: ErrorOptions & { code?: ErrorCode },
  ) {
    const found = printable(content);
    const tail = hint === undefined ? '' : `. ${hint}`;
    super(
      options?.code ?? 'ERR_COVN_FORMAT',
      printable(`Expected ${expected} for ${placeText(place)} but received ${found}${tail}`),
      options,
    );
    this.name = 'FormatError';
    this.place = place;
    this.expected = expected;
    this.found = found;
    this.hint = hint;
  }
}

/** Edits (insert, delete, replace) that turn one text into the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (a[i] === b[j] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

/** "Did you mean 'Surprisal'?" where a known name is near, else undefined. */
export function suggest(name: string, known: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[\s_.-]/g, '');
  let best: string | undefined;
  let least = Math.min(Math.max(2, Math.floor(name.length / 3)) + 1, name.length);
  for (const candidate of known) {
    const edits = distance(plain(name), plain(candidate));
    if (edits < least) [best, least] = [candidate, edits];
  }
  return best === undefined ? undefined : `Did you mean '${best}'?`;
}

/** The named things as a short list for an error: "a, b, c and 11 more". */
export function listNames(names: readonly string[], most = 12): string {
  if (names.length === 0) return 'none';
  const head = names.slice(0, most).join(', ');
  return names.length > most ? `${head} and ${names.length - most} more` : head;
}

/** Whether an error is one that Node's file functions throw. */
function isFileError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).code === 'string';
}

/** A file-system or decompression error as a FormatError; anything else as it is. */
export function readingError(file: string, error: unknown): unknown {
  if (!isFileError(error) || error instanceof CovnError || error.name === 'AbortError') return error;
  const { code = '' } = error;
  const found: Record<string, string> = {
    ENOENT: 'no such file',
    EACCES: 'a file that may not be read (permission denied)',
    EPERM: 'a file that may not be read (not permitted)',
    EISDIR: 'a directory',
  };
  if (code.startsWith('Z_')) {
    return new FormatError({ file }, 'a complete gzip stream', `damaged data (${error.message})`, undefined, {
      cause: error,
    });
  }
  if (!/^E[A-Z]+$/.test(code)) return error;
  return new FormatError({ file }, 'a readable file', found[code] ?? error.message, undefined, { cause: error });
}
