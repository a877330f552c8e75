/** `covn best-of-n`: Pass@N, pass^N and Best-of-N by reward from recorded samples. */

import { type Command, Option } from 'commander';
import { bestOfNReward, passAtN, passHatN } from '../../best-of-n/index.ts';
import type { Estimate } from '../../estimate/index.ts';
import { FormatError, printable, readSamples, type Samples } from '../../io/index.ts';
import type { Context } from '../context.ts';
import { estimate, percent, table } from '../format.ts';
import { type LogProbFlags, number, optionName, sizes } from '../options.ts';
import { UsageError } from '../usage.ts';
import { isModel, type ModelFlags, runModel } from './best-of-n-model.ts';
import { bracket, type ProfileFlags, profileFlags, sayBracket } from './best-of-n-profile.ts';
import { addProfileOptions } from './coverage.ts';

interface BestOfNFlags extends LogProbFlags, ProfileFlags, ModelFlags {
  readonly sizes?: number[];
  readonly problem?: string;
  readonly correct?: string;
  readonly reward?: string;
  readonly sample?: string;
  readonly filter?: string;
  readonly ties?: 'average' | 'first';
}

interface Statistic {
  readonly name: string;
  readonly label: string;
  readonly estimates: Estimate[];
}

/** Everything that the samples allow. */
function statistics(given: Samples, Ns: number[], { confidence, ties = 'average' }: BestOfNFlags): Statistic[] {
  const { samples, correct, rewards, scores, offsets } = given;
  const out: Statistic[] = [];
  if (correct) {
    const counts = { samples, correct };
    out.push({ name: 'passAtN', label: 'Pass@N', estimates: passAtN(counts, Ns, { confidence }) });
    out.push({ name: 'passHatN', label: 'pass^N', estimates: passHatN(counts, Ns, { confidence }) });
  }
  if (rewards && offsets) {
    const responses = { rewards, offsets, ...(scores && { values: scores }) };
    const range = scores && { range: [0, 1] as const };
    const label = scores ? 'right, by reward' : 'best reward';
    out.push({
      name: 'bestOfNReward',
      label,
      estimates: bestOfNReward(responses, Ns, { confidence, ties, ...range }),
    });
  }
  return out;
}

const ofModels = ['draws', 'seed', 'maxLength'] as const;
const ofSamples = [
  'problem',
  'correct',
  'reward',
  'sample',
  'filter',
  'ties',
  'delimiter',
  'profile',
  ...profileFlags,
] as const;

/** Refuses options that would be ignored. */
function checkApply(model: boolean, flags: BestOfNFlags): void {
  const key = (model ? ofSamples : ofModels).find((name) => flags[name] !== undefined);
  if (key === undefined) return;
  throw new UsageError(`--${optionName(key)} has no effect on ${model ? 'a model' : 'recorded samples'}: leave it out`);
}

async function run(context: Context, file: string, flags: BestOfNFlags): Promise<void> {
  const model = await isModel(file, context.signal);
  checkApply(model, flags);
  if (model) return runModel(context, file, flags);
  const { problem, correct, reward, sample, filter, delimiter, quotes } = flags;
  const stated = { problem, correct, reward, sample, filter, delimiter, quotes, signal: context.signal };
  const given = await readSamples(file, Object.fromEntries(Object.entries(stated).filter(([, v]) => v !== undefined)));
  const fewest = given.samples.reduce((a, b) => Math.min(a, b));
  const Ns = flags.sizes ?? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].filter((N) => N <= fewest);
  const most = Math.max(...Ns);
  if (most > fewest) {
    const problem = given.problems[given.samples.indexOf(fewest)]!;
    const hint = 'What more draws would give cannot be estimated from fewer';
    throw new FormatError({ file }, `at least ${most} samples of each problem`, `${fewest} of '${problem}'`, hint);
  }
  const found = statistics(given, Ns, flags);
  const profile = await bracket(found.find(({ name }) => name === 'passAtN')?.estimates, Ns, flags, context.signal);
  const { reading } = given;
  const warnings = [...given.warnings, ...(profile?.warnings ?? [])];
  context.emit({
    command: 'best-of-n',
    file,
    reading,
    problems: given.problems.length,
    N: Ns,
    ...Object.fromEntries(found.map(({ name, estimates }) => [name, estimates])),
    ...(profile && { profile: { file: flags.profile, reading: profile.reading }, passBracket: profile.rows }),
    warnings,
  });
  context.warn(warnings);
  context.say(`Read ${printable(reading)}: ${given.problems.length} problems, at least ${fewest} samples each.\n`);
  const rows = Ns.map((N, i) => [`${N}`, ...found.map(({ estimates }) => estimate(estimates[i]!))]);
  context.say(table(['N', ...found.map(({ label }) => label)], rows, context.colors.bold));
  const methods = new Set(found.flatMap(({ estimates }) => estimates.map(({ method }) => method)));
  context.say(`  Intervals: ${percent(flags.confidence)} over problems (${[...methods].join(', ')}).`);
  if (profile) sayBracket(context, profile, flags);
}

export function addBestOfN(program: Command, context: (json?: boolean) => Context): void {
  const command = program
    .command('best-of-n')
    .summary('Pass@N, pass^N and Best-of-N by reward, from recorded samples or a model')
    .description('Unbiased estimates from n samples a problem; N above n is refused, never extrapolated.')
    .argument(
      '<file>',
      'samples as CSV, TSV or JSONL: a row each, counts (problem, n, c), or arrays; or a model (.json)',
    )
    .option('-N, --sizes <N,...>', 'sizes N (default: powers of two up to the fewest samples)', sizes(true))
    .option('--draws <n>', 'a model: responses drawn for each prompt (default: 4096)', number(1, 2 ** 31, true))
    .option('--seed <n>', 'a model: seed of the draws (default: 0)', number(0, Number.MAX_SAFE_INTEGER, true))
    .option('--max-length <n>', 'a model: the most tokens of a response (default: 1024)', number(1, 2 ** 24 - 1, true))
    .option('--problem <column>', 'the problem (default: problem, task_id, doc_id, idx or id)')
    .option('--correct <column>', 'right or wrong (default: correct, passed, score or acc)')
    .option('--reward <column>', 'what the choice goes by (default: reward or pred_score)')
    .option('--sample <column>', "the sample's number; rows repeated by a rerun are left out")
    .option('--filter <name>', "value of the column 'filter' to read, where samples were judged by several")
    .addOption(new Option('--ties <rule>', 'equal rewards (default: average)').choices(['average', 'first']))
    .option('--profile <file>', 'log ratios or log-probs of responses from pi_D: what coverage says of Pass@N')
    .option('--accuracy <a>', 'probability that a response from pi_D is right (default: 1)', number(0, 1));
  addProfileOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  covn best-of-n results.jsonl.gz --problem task_id --correct passed
  covn best-of-n counts.csv -N 1,10,100
  covn best-of-n machine.json --draws 1000000 -N 1,1000,1000000
  covn best-of-n counts.csv --profile scores.csv --reference teacher_logp --model student_logp
  covn best-of-n answers.jsonl --correct score --reward pred_score --ties first -N 1,2,4,8 --json`,
    )
    .action((file: string, flags: BestOfNFlags) => run(context(flags.json), file, flags));
}
