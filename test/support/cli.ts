/** The command line, run in this process. */

import { run } from '../../lib/cli/run.ts';

/** What a command prints, and its exit code. Streams are no terminals. */
export async function covn(...argv: string[]) {
  const text = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => ({
    write: (chunk: string) => {
      text[name] += chunk;
    },
  });
  const code = await run(argv, { stdout: stream('stdout'), stderr: stream('stderr'), env: { NO_COLOR: '1' } });
  return { code, ...text };
}
