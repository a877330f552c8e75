/** Files that a command writes. */

import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/**
 * Writes files, by their paths, into folders made where they are missing. Each is written under another name first and
 * then renamed, so that nobody finds half of one; when one fails, none is there that was not before.
 */
export async function writeFiles(files: Readonly<Record<string, string>>): Promise<void> {
  const written: [temporary: string, path: string][] = [];
  try {
    for (const [path, text] of Object.entries(files)) {
      const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`);
      await mkdir(dirname(path), { recursive: true });
      written.push([temporary, path]);
      await writeFile(temporary, text);
    }
    for (const [temporary, path] of written) await rename(temporary, path);
  } finally {
    for (const [temporary] of written) await rm(temporary, { force: true });
  }
}
