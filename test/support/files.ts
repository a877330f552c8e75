/** Files that a test writes and readers refuse. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { FormatError } from '../../lib/io/index.ts';

/** A folder that is removed after the tests of the file, and a function that writes files into it and gives their path. */
export function temporaryFiles() {
  const folder = mkdtempSync(join(tmpdir(), 'covn-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  let written = 0;
  /** A name without a dot is an extension of a fresh name. */
  const file = (content: string | Buffer, name = 'csv'): string => {
    const path = join(folder, name.includes('.') ? name : `f${written++}.${name}`);
    writeFileSync(path, content);
    return path;
  };
  return { folder, file };
}

/** The FormatError that a promise rejects with. */
export async function refusal(promise: Promise<unknown>): Promise<FormatError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(FormatError);
  return error as FormatError;
}
