/** `covn best-of-n --profile`: measured Pass@N beside what a coverage profile says of it. */

import { type PassBracket, passBracket } from '../../best-of-n/index.ts';
import type { Estimate } from '../../estimate/index.ts';
import { printable } from '../../io/index.ts';
import type { Context } from '../context.ts';
import { fixed, percent, table } from '../format.ts';
import { type LogProbFlags, optionName } from '../options.ts';
import { plotCurves } from '../plot.ts';
import { UsageError } from '../usage.ts';
import { loadProfiles } from './coverage.ts';

export interface ProfileFlags extends LogProbFlags {
  readonly profile?: string;
  readonly accuracy?: number;
}

/** Options that say how to read --profile. */
export const profileFlags = [
  'accuracy',
  'ratio',
  'reference',
  'model',
  'sequence',
  'value',
  'modelColumn',
  'cluster',
  'position',
  'kind',
  'unit',
  'names',
] as const;

interface Bracket {
  readonly rows: PassBracket[];
  readonly reading: string;
  readonly warnings: readonly string[];
}

/** Pass@N beside what the profile of --profile says of it. */
export async function bracket(
  measured: readonly Estimate[] | undefined,
  Ns: readonly number[],
  flags: ProfileFlags,
  signal?: AbortSignal,
): Promise<Bracket | undefined> {
  const { profile: file, accuracy } = flags;
  if (file === undefined) {
    const flag = profileFlags.find((name) => flags[name] !== undefined);
    if (flag !== undefined) throw new UsageError(`--${optionName(flag)} has no effect without --profile: leave it out`);
    return undefined;
  }
  if (!measured)
    throw new UsageError('--profile goes with Pass@N, which needs a column of right or wrong: name it with --correct');
  const { profiles, reading, warnings } = await loadProfiles([file], flags, signal);
  if (profiles.length > 1) throw new UsageError('--profile takes one model: name it with --model');
  const { profile } = profiles[0]!;
  const rows = passBracket(profile, Ns, measured, accuracy === undefined ? {} : { accuracy });
  const at = rows.filter(({ contradicts }) => contradicts).map(({ N }) => N);
  const why =
    'are the prompts, the model or its sampling others than those of the profile, or is pi_D less often right?';
  const text = `contradiction: Pass@N is below what coverage promises at N = ${at.join(', ')}: ${why}`;
  return { rows, reading, warnings: at.length > 0 ? [...warnings, text] : warnings };
}

export function sayBracket(context: Context, { rows, reading }: Bracket, flags: ProfileFlags): void {
  const { say, colors } = context;
  say(`\nThe profile (${printable(reading)}) and Pass@N:`);
  const header = ['N', 'at least', `${percent(flags.confidence)} sure`, 'measured', 'at worst below', 'inside'];
  const lines = rows.map((row) => [
    `${row.N}`,
    fixed(row.lower),
    fixed(row.band.lower),
    fixed(row.measured.value),
    fixed(row.upper),
    row.inside ? 'yes' : 'no',
  ]);
  say(table(header, lines, colors.bold));
  const curve = (value: (row: PassBracket) => number) => rows.map((row) => ({ N: row.N, value: value(row) }));
  const curves = [
    { points: curve((row) => row.measured.value) },
    { points: curve((row) => row.lower), every: 4 },
    { points: curve((row) => row.upper), every: 4 },
  ];
  const plot = plotCurves('Pass@N', curves, Math.min(60, (context.stdout.columns ?? 80) - 16));
  if (plot !== '') say(`\n${plot}`);
  const who = flags.accuracy === undefined ? 'always' : `with probability ${flags.accuracy}`;
  say(
    `  At least: for every notion of right by which pi_D is right ${who} (Prop D.6); ${percent(flags.confidence)} sure: for`,
  );
  say('  all N at once. At worst below: for some reward, Best-of-N loses that much against pi_D (Prop D.7); a reward');
  say('  that is easier than the worst may be above it.');
}
