/** The command line as a function: arguments in, exit code out. */

import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { FormatError, placeText, printable } from '../io/index.ts';
import { addBench } from './commands/bench.ts';
import { addBestOfN } from './commands/best-of-n.ts';
import { addCoverage } from './commands/coverage.ts';
import { addDemo } from './commands/demo.ts';
import { addDoctor } from './commands/doctor.ts';
import { addLab } from './commands/lab.ts';
import { addTournament } from './commands/tournament.ts';
import { type CliIo, colorsFor, makeContext, toJson } from './context.ts';
import { UsageError } from './usage.ts';

/** Exit codes. */
const DONE = 0;
const FAILED = 1;
const USAGE = 2;
const INTERRUPTED = 130;

function version(): string {
  // package.json lies two folders up from lib/cli and from dist/cli.
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;
}

/** An error for people: place, expected and found on lines of their own where it has them. */
function errorText(error: Error): string {
  if (!(error instanceof FormatError)) return error.message;
  const lines = [placeText(error.place), `expected: ${error.expected}`, `found:    ${error.found}`];
  if (error.hint !== undefined) lines.push(`hint:     ${error.hint}`);
  return lines.map(printable).join('\n  ');
}

/** Reports an error on stderr, as JSON under --json, and gives the exit code. */
function report(error: unknown, io: CliIo, json: boolean): number {
  if (io.signal?.aborted) {
    io.stderr.write('covn: interrupted\n');
    return INTERRUPTED;
  }
  const failure = error instanceof Error ? error : new Error(String(error));
  const code = failure instanceof UsageError ? USAGE : FAILED;
  if (json) {
    const place = failure instanceof FormatError ? failure.place : {};
    const named = (failure as { code?: string }).code ?? failure.name;
    io.stderr.write(`${toJson({ error: { code: named, message: failure.message, ...place } })}\n`);
  } else {
    io.stderr.write(`${colorsFor(io.stderr, io.env).red('error:')} ${errorText(failure)}\n`);
  }
  return code;
}

/**
 * Runs covn.
 * @param argv arguments without the program's name, for example ['tournament', 'a.csv', '-N', '4']
 * @returns 0 done, 1 failed, 2 wrong usage, 130 interrupted. Never rejects.
 */
export async function run(argv: readonly string[], io: CliIo): Promise<number> {
  let code = DONE;
  const json = argv.includes('--json');
  const context = (flag = false) => makeContext(io, flag);
  const program = new Command('covn')
    .description("Measures and uses a language model's coverage of the responses that matter.")
    .version(version())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      getOutHasColors: () => io.stdout.isTTY === true && !io.env.NO_COLOR,
      getErrHasColors: () => io.stderr.isTTY === true && !io.env.NO_COLOR,
    })
    .addHelpText('after', '\nExit codes: 0 done, 1 failed, 2 wrong usage. `covn <command> --help` has examples.');
  addCoverage(program, context);
  addTournament(program, context);
  addBestOfN(program, context);
  addLab(program, context);
  addBench(program, context);
  addDoctor(program, context, (exit) => {
    code = exit;
  });
  addDemo(program, context);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? DONE : USAGE;
    return report(error, io, json);
  }
}
