/** `covn lab`: experiments that print a table and draw their picture. */

import { join } from 'node:path';
import type { Command } from 'commander';
import { drawFigure, type Experiment, experiments, type Outcome } from '../../lab/index.ts';
import { type Context, toJson, withProgress } from '../context.ts';
import { writeFiles } from '../files.ts';
import { count, fixed, table } from '../format.ts';
import { number, optionName } from '../options.ts';
import { UsageError } from '../usage.ts';

export interface LabFlags {
  readonly seed: number;
  readonly out: string;
  readonly threads?: number;
  readonly json?: boolean;
  /** Settings of the experiment. */
  readonly [setting: string]: unknown;
}

/** Prints an experiment's tables and findings. */
function sayOutcome(context: Context, { tables, findings }: Outcome): void {
  const { say, colors } = context;
  for (const { title, columns, rows } of tables) {
    say(colors.bold(title));
    const cell = (value: string | number, k: number) => {
      if (typeof value === 'string') return value;
      const { decimals } = columns[k]!;
      return decimals === undefined ? count(value) : fixed(value, decimals);
    };
    say(
      `${table(
        columns.map(({ name }) => name),
        rows.map((row) => row.map(cell)),
        colors.bold,
      )}\n`,
    );
  }
  for (const finding of findings) say(finding);
}

/** Runs an experiment, writes its picture and its numbers, and prints what it found. */
export async function runExperiment(context: Context, experiment: Experiment, flags: LabFlags): Promise<object> {
  const { name, summary } = experiment;
  const { seed, out, threads } = flags;
  const settings = Object.fromEntries(Object.keys(experiment.settings).map((key) => [key, flags[key] as number]));
  const options = { seed, ...(threads && { threads }), ...(context.signal && { signal: context.signal }) };
  context.say(`${context.colors.bold(name)}: ${summary}\n`);
  const outcome = await withProgress(context, name, (onProgress) =>
    experiment.run(settings, { ...options, onProgress }),
  );
  const { values, tables, findings, figure } = outcome;
  const [svg, json] = ['svg', 'json'].map((extension) => join(out, `${name}.${extension}`)) as [string, string];
  const result = { experiment: name, summary, seed, settings, findings, values, tables, figure };
  await writeFiles({ [svg]: await drawFigure(figure), [json]: `${toJson(result)}\n` });
  sayOutcome(context, outcome);
  context.say(`\nPicture: ${svg}, numbers: ${json}`);
  return { ...result, files: { svg, json } };
}

function list(context: Context): void {
  context.say(context.colors.bold('Experiments, each a command: covn lab <name>'));
  const width = Math.max(...experiments.map(({ name }) => name.length));
  for (const { name, summary } of experiments) context.say(`  ${name.padEnd(width)}  ${summary}`);
  context.emit({
    command: 'lab',
    experiments: experiments.map(({ name, summary, settings }) => ({ name, summary, settings })),
  });
}

/** Options of every experiment. */
const addOptions = (command: Command): Command =>
  command
    .option('--seed <n>', 'seed of everything random', number(0, Number.MAX_SAFE_INTEGER, true), 0)
    .option('--out <folder>', 'where the picture (SVG) and the numbers (JSON) go', 'covn-lab')
    .option('--threads <n>', 'worker threads (default: all)', number(1, 4096, true))
    .option('--json', 'print one JSON document, nothing else');

export function addLab(program: Command, context: (json?: boolean) => Context): void {
  const lab = program
    .command('lab')
    .summary("the paper's results on this machine: tables and pictures")
    .description('Runs an experiment: prints its tables and draws its picture. Without a name, lists the experiments.')
    .argument('[experiment]')
    .option('--json', 'print one JSON document, nothing else')
    .addHelpText('after', '\nExamples:\n  covn lab\n  covn lab fig1\n  covn lab fig2 --seeds 16 --out pictures\n')
    .action((name: string | undefined, flags: { json?: boolean }) => {
      const known = experiments.map((experiment) => experiment.name).join(', ');
      if (name !== undefined)
        throw new UsageError(`Expected one of ${known} for the experiment but received '${name}'`);
      list(context(flags.json));
    });
  for (const experiment of experiments) {
    const command = addOptions(lab.command(experiment.name).description(experiment.summary));
    for (const [key, { what, default: usual, min, max }] of Object.entries(experiment.settings)) {
      command.option(`--${optionName(key)} <n>`, what, number(min, max, true), usual);
    }
    command.action(async (_: object, self: Command) => {
      // --json is an option of `lab` too, which takes it when it comes first.
      const flags = self.optsWithGlobals<LabFlags>();
      const own = context(flags.json);
      own.emit({ command: 'lab', ...(await runExperiment(own, experiment, flags)) });
    });
  }
}
