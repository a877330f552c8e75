/** `covn coverage` and `covn plan`: profiles of models against a reference whose log-probs are known. */

import type { Command } from 'commander';
import { type CoverageProfile, coverageProfile } from '../../coverage/index.ts';
import {
  FormatError,
  type LogProbs,
  listNames,
  logRatios,
  printable,
  readLogProbs,
  readLogRatios,
  suggest,
} from '../../io/index.ts';
import type { Context } from '../context.ts';
import { count, estimate, fixed, interval, percent, table } from '../format.ts';
import { addLogProbOptions, checkUsed, type LogProbFlags, logProbOptions, names, number, sizes } from '../options.ts';
import { plotProfile } from '../plot.ts';
import { UsageError } from '../usage.ts';

interface CoverageFlags extends LogProbFlags {
  readonly at?: number[];
}

const NO_REFERENCE = `coverage needs log pi_D, the log-probs of the distribution that the responses were drawn from: no
estimate exists without it (Remark 2.2). Name it with --reference (a column, model or file), or give log ratios with
--ratio. To choose among models without it: covn tournament`;

/** Rows of a table for people, where they did not choose the N. */
const MOST_ROWS = 16;

interface Loaded {
  readonly profiles: { readonly model: string; readonly profile: CoverageProfile }[];
  readonly reading: string;
  readonly warnings: readonly string[];
}

/** The index of a model by its name, or by its file's path. */
function find(given: LogProbs, files: readonly string[], name: string): number {
  const at = given.models.indexOf(name);
  const byFile = files.length === given.models.length ? files.indexOf(name) : -1;
  if (at >= 0 || byFile >= 0) return at >= 0 ? at : byFile;
  const found = `the models ${listNames(given.models)}`;
  const left = given.warnings.find((text) => text.startsWith('columns:') && text.includes(name));
  throw new FormatError({ file: files.join(', ') }, `a model '${name}'`, found, left ?? suggest(name, given.models));
}

/** Refuses a response that the reference gives probability 0: it cannot have been drawn from it. */
function checkReference(given: LogProbs, files: readonly string[], from: number): void {
  const n = given.ids.length;
  const at = given.logProbs.subarray(from * n, (from + 1) * n).indexOf(Number.NEGATIVE_INFINITY);
  if (at < 0) return;
  const place = { file: files[files.length === given.models.length ? from : 0]!, column: given.models[from]! };
  const hint = 'A response drawn from pi_D has a probability above 0 under it';
  throw new FormatError(place, `a finite log pi_D of sequence '${given.ids[at]!}'`, '-inf', hint);
}

/** The profiles that the flags ask for. */
export async function loadProfiles(
  files: readonly string[],
  flags: LogProbFlags,
  signal?: AbortSignal,
): Promise<Loaded> {
  checkUsed(files, flags);
  const options = logProbOptions(flags, signal);
  const { confidence, ratio, reference } = flags;
  if (ratio !== undefined) {
    if (files.length > 1) throw new UsageError('--ratio reads one file');
    const column = ratio === true ? undefined : ratio;
    const { clusters, warnings, unit, ...read } = await readLogRatios(files[0]!, column, options);
    const profile = coverageProfile(read.logRatios, { confidence, ...(clusters && { clusters }) });
    const reading = `${column === undefined ? 'values' : `column ${column}`} as log ratio in ${unit}`;
    return { profiles: [{ model: 'model', profile }], reading, warnings };
  }
  if (reference === undefined) throw new UsageError(NO_REFERENCE);
  const wide = files.length === 1 && flags.modelColumn === undefined && !files[0]!.endsWith('.npy');
  const value = wide && flags.value === undefined && flags.model ? [reference, ...flags.model] : undefined;
  const given = await readLogProbs(files, { ...options, ...(value && { value }) });
  const from = find(given, files, reference);
  checkReference(given, files, from);
  const chosen = flags.model?.map((name) => find(given, files, name)) ?? [...given.models.keys()];
  const profiles = chosen
    .filter((m) => m !== from)
    .map((m) => {
      const clusters = given.clusters && { clusters: given.clusters };
      return {
        model: given.models[m]!,
        profile: coverageProfile(logRatios(given, from, m), { confidence, ...clusters }),
      };
    });
  if (profiles.length === 0)
    throw new UsageError('--reference names the only model: nothing is left to compare with it');
  return { profiles, reading: given.reading.text, warnings: given.warnings };
}

function sayProfile(context: Context, model: string, profile: CoverageProfile, at: number[] | undefined): void {
  const { say, colors } = context;
  const all = profile.curve(at);
  const step = at ? 1 : Math.ceil(all.length / MOST_ROWS);
  const curve = all.filter((_, i) => i % step === 0);
  const header = ['N', 'Cov_N', `${percent(profile.confidence)} interval`, 'all N at once'];
  const rows = curve.map((point) => [
    count(point.N),
    fixed(point.value),
    interval(point),
    interval({ lower: point.bandLower, upper: point.bandUpper }),
  ]);
  say(`\n${colors.bold(printable(model))}: ${profile.n} responses`);
  say(table(header, rows, colors.bold));
  say(`  KL divergence ${estimate(profile.kl)} nats a response (${profile.kl.method})`);
  const plot = plotProfile(profile.curve(), Math.min(60, (context.stdout.columns ?? 80) - 16));
  if (plot !== '') say(`\n${plot}`);
}

async function runCoverage(context: Context, files: string[], flags: CoverageFlags): Promise<void> {
  const { profiles, reading, warnings } = await loadProfiles(files, flags, context.signal);
  context.emit({
    command: 'coverage',
    files,
    reading,
    reference: flags.reference ?? null,
    profiles: profiles.map(({ model, profile }) => ({
      model,
      ...profile.toJSON(),
      ...(flags.at && { curve: profile.curve(flags.at), bestOfN: flags.at.map((N) => profile.bestOfN(N)) }),
    })),
    warnings,
  });
  context.warn(warnings);
  context.say(`Read ${printable(reading)}.`);
  for (const { model, profile } of profiles) sayProfile(context, model, profile, flags.at);
  context.say('\nCov_N: the share of responses that the model gives less than 1/N of their reference probability.');
}

interface PlanFlags extends CoverageFlags {
  readonly regret: number;
  readonly confident?: boolean;
}

async function runPlan(context: Context, files: string[], flags: PlanFlags): Promise<void> {
  const { profiles, reading, warnings } = await loadProfiles(files, flags, context.signal);
  const { regret, confident = false } = flags;
  const plans = profiles.map(({ model, profile }) => {
    const [estimatedN, confidentN] = [profile.plan({ regret }), profile.plan({ regret, confident: true })];
    const N = confident ? confidentN : estimatedN;
    const bound = Number.isFinite(N) ? profile.bestOfN(N) : null;
    return { model, n: profile.n, N, estimatedN, confidentN, bound };
  });
  context.emit({ command: 'plan', files, reading, regret, confident, plans, warnings });
  context.warn(warnings);
  context.say(`Read ${printable(reading)}.\n`);
  const { bold } = context.colors;
  for (const { model, n, estimatedN, confidentN } of plans) {
    const how = (N: number) => (Number.isFinite(N) ? bold(`N = ${N}`) : 'no N is enough');
    context.say(`${printable(model)}: a regret of at most ${regret} for any reward in [0, 1] (Prop D.6)`);
    context.say(`  estimated from ${n} responses: ${how(estimatedN)}`);
    context.say(`  with ${percent(flags.confidence)} confidence: ${how(confidentN)}`);
  }
}

/** Options that say which columns a profile is made of. */
export function addProfileOptions(command: Command): Command {
  command
    .option('--ratio [column]', 'the values are log ratios log pi_D - log pi (column may be left out for .npy)')
    .option('--reference <name>', 'log pi_D, of what the responses were drawn from: a column, model or file')
    .option('--model <names>', 'the models to measure (default: all others)', names);
  return addLogProbOptions(command);
}

function addCoverageOptions(command: Command): Command {
  return addProfileOptions(
    command.argument('<files...>', 'CSV, TSV or JSONL (.gz allowed), or .npy ([n] or [models, n])'),
  );
}

export function addCoverage(program: Command, context: (json?: boolean) => Context): void {
  addCoverageOptions(program.command('coverage'))
    .summary('coverage profiles Cov_N of models against a reference')
    .description('Coverage profile Cov_N, KL divergence and their intervals, from log ratios or two sets of log-probs.')
    .option('--at <N,...>', 'the N to report (default: 1, 2, 4, ... until the coverage is 0)', sizes())
    .addHelpText(
      'after',
      `
Examples:
  covn coverage scores.csv --reference teacher_logp --model student_logp --at 2,4,8
  covn coverage tokens.jsonl --sequence id --model-column model --value logprob --reference teacher
  covn coverage ratios.csv --ratio log_ratio --cluster prompt --json
  covn coverage teacher.npy student.npy --reference teacher.npy --kind logprob`,
    )
    .action((files: string[], flags: CoverageFlags) => runCoverage(context(flags.json), files, flags));
  addCoverageOptions(program.command('plan'))
    .summary('how many draws Best-of-N needs')
    .description('The smallest N for which the regret of Best-of-N is bounded for every reward in [0, 1] (Prop D.6).')
    .requiredOption('--regret <r>', 'the regret that is acceptable, in [0, 1]', number(0, 1))
    .option('--confident', '--json: N is the one that holds with the stated confidence, not the estimate')
    .addHelpText(
      'after',
      `
Examples:
  covn plan scores.csv --reference teacher_logp --model student_logp --regret 0.05
  covn plan ratios.npy --ratio --regret 0.1 --confident --json`,
    )
    .action((files: string[], flags: PlanFlags) => runPlan(context(flags.json), files, flags));
}
