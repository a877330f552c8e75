#!/usr/bin/env node
/** The `covn` command. */

import { run } from './run.ts';

const controller = new AbortController();
// A second interrupt ends the process at once, as it would without this.
process.once('SIGINT', () => controller.abort(new Error('interrupted')));
// A reader that closes the pipe early (covn ... | head) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`covn: the output cannot be written (${error.message})\n`);
  process.exit(1);
});

const { stdout, stderr, env } = process;
process.exitCode = await run(process.argv.slice(2), { stdout, stderr, env, signal: controller.signal });
