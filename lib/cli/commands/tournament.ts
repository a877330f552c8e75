/** `covn tournament`: choosing a model by coverage, without log pi_D. */

import type { Command } from 'commander';
import { type Generations, type LogProbs, printable, readGenerations, readLogProbs } from '../../io/index.ts';
import type { Tournament } from '../../tournament/index.ts';
import { type Context, withProgress } from '../context.ts';
import { count, estimate, percent, table } from '../format.ts';
import { addLogProbOptions, checkUsed, type LogProbFlags, logProbOptions, number, sizes } from '../options.ts';
import { tournamentInUnit } from '../units.ts';
import { UsageError } from '../usage.ts';

export interface TournamentFlags extends LogProbFlags {
  readonly sizes: number[];
  readonly bootstrap: number;
  readonly seed: number;
  readonly onPolicy?: string;
  readonly generator?: string;
  readonly offsetExponent?: number;
}

const onPolicy = ({ stored, offsets, clusters }: Generations, exponent = 0) => ({
  logProbs: stored,
  offsets,
  exponent,
  ...(clusters && { clusters }),
});

/** Runs a tournament at each N on log-probs that were read. */
export async function playAll(
  context: Context,
  given: LogProbs,
  flags: Pick<TournamentFlags, 'sizes' | 'bootstrap' | 'seed' | 'confidence' | 'offsetExponent'>,
  generations?: Generations,
): Promise<Tournament[]> {
  const input = {
    models: given.models.length,
    names: context.json ? given.models : given.models.map(printable),
    N: flags.sizes,
    confidence: flags.confidence,
    bootstrap: flags.bootstrap,
    seed: flags.seed,
    ...(given.clusters && { clusters: given.clusters }),
    ...(generations && { onPolicy: onPolicy(generations, flags.offsetExponent) }),
    ...(context.signal && { signal: context.signal }),
  };
  return withProgress(context, 'tournament', (onProgress) => tournamentInUnit(given, { ...input, onProgress }));
}

/** The models from best to worst at one N, as a table of `most` of them. */
export function standings(context: Context, t: Tournament, most = t.names.length): string {
  const ce = t.crossEntropy;
  const order = [...t.names.keys()].sort((a, b) => t.scores[a]! - t.scores[b]! || ce[a]!.value - ce[b]!.value);
  order.sort((a, b) => Number(b === t.winner) - Number(a === t.winner));
  const header = [
    'model',
    t.rule === 'offset' ? 'offset score' : 'worst Cov',
    'against',
    'chosen',
    'cross-entropy (nats)',
    'least',
  ];
  const rows = order
    .slice(0, most)
    .map((m) => [
      m === t.winner ? context.colors.green(t.names[m]!) : t.names[m]!,
      estimate(t.scoreEstimates[m]!, 3),
      t.names[t.worstOpponent[m]!] ?? '-',
      percent(t.selectionProbability[m]!),
      estimate(ce[m]!, 2),
      percent(t.crossEntropySelectionProbability[m]!),
    ]);
  const rest = order.length > most ? `\n  ... and ${order.length - most} more` : '';
  return table(header, rows, context.colors.bold) + rest;
}

/** What a tournament says, in plain words. */
export function verdict(t: Tournament): string {
  const [winner, usual] = [t.names[t.winner]!, t.names[t.minCrossEntropy]!];
  const stable = percent(t.selectionProbability[t.winner]!);
  const others = t.tied.filter((m) => m !== t.winner).map((m) => t.names[m]!);
  const how = t.ladder.at(-1)!.tied.length > 1 ? 'by cross-entropy' : `at N = ${t.ladder.at(-1)!.N.toPrecision(3)}`;
  const tie = others.length > 0 ? ` ${others.join(', ')} tied with it at this N; the tie was broken ${how}.` : '';
  const first = `${winner} covers best (chosen in ${stable} of the bootstrap replicates).${tie}`;
  if (t.winner === t.minCrossEntropy) return `${first} Minimum cross-entropy chooses it too.`;
  const { difference } = t;
  const what = t.rule === 'offset' ? 'offset score' : 'worst-case coverage';
  const cost = `its ${what} is ${estimate(difference)} higher`;
  const judged = t.significant ? 'a significant difference' : 'not significant: the interval holds 0';
  return `${first} Minimum cross-entropy chooses ${usual}: ${cost}, ${judged}.`;
}

/** The generations that --on-policy names. */
async function loadGenerations(given: LogProbs, flags: TournamentFlags, signal?: AbortSignal) {
  const { onPolicy, generator, offsetExponent } = flags;
  if (onPolicy === undefined) {
    const option = generator !== undefined ? '--generator' : '--offset-exponent';
    if (generator !== undefined || offsetExponent !== undefined)
      throw new UsageError(`${option} has no effect without --on-policy: leave it out`);
    return undefined;
  }
  if (onPolicy.endsWith('.npy')) throw new UsageError('--on-policy reads a table: .npy files name no generator');
  const { sequence, cluster, position, delimiter, quotes } = logProbOptions(flags, signal);
  const stated = { sequence, cluster, position, delimiter, quotes, signal };
  const options = Object.fromEntries(Object.entries(stated).filter(([, value]) => value !== undefined));
  return readGenerations(onPolicy, given, { generator: generator ?? 'generator', ...options });
}

async function run(context: Context, files: string[], flags: TournamentFlags): Promise<void> {
  checkUsed(files, flags);
  const given = await readLogProbs(files, logProbOptions(flags, context.signal));
  context.warn(given.warnings);
  if (given.models.length < 2)
    throw new UsageError('a tournament needs at least two models: give more files or columns');
  const generations = await loadGenerations(given, flags, context.signal);
  if (generations) context.warn(generations.warnings);
  const clustered = given.clusters ? ` in ${new Set(given.clusters).size} clusters` : '';
  context.say(
    `Read ${printable(given.reading.text)}: ${given.models.length} models, ${given.ids.length} responses${clustered}.`,
  );
  if (generations) {
    const a = flags.offsetExponent ?? 0;
    context.say(`Offset by 2 N^${a} times what ${generations.offsets.at(-1)} generations of the models show (Eq. 32).`);
  }
  const results = await playAll(context, given, flags, generations);
  const { reading } = given;
  const warnings = [...given.warnings, ...(generations?.warnings ?? [])];
  context.emit({ command: 'tournament', files, reading: reading.text, tournaments: results, warnings });
  for (const result of results) {
    context.say(`\n${context.colors.bold(`N = ${count(result.N)}`)}`);
    context.say(standings(context, result));
    context.say(`  ${verdict(result)}`);
  }
}

export function addTournament(program: Command, context: (json?: boolean) => Context): void {
  addLogProbOptions(program.command('tournament'))
    .summary('choose among models by pairwise coverage, without log pi_D')
    .description(
      'The model whose worst opponent finds the least coverage gap (Eq. 29; with generations of the models Eq. 32), beside ' +
        'the one of least cross-entropy.',
    )
    .argument('<files...>', 'one per model, or one long or wide table: CSV, TSV, JSONL (.gz allowed), .npy')
    .requiredOption('-N, --sizes <N,...>', 'thresholds N >= 1; about half the number of draws you plan', sizes())
    .option('--on-policy <file>', 'table of generations of the models: the offset tournament')
    .option('--generator <column>', "its column of the generating model's name (default: generator)")
    .option('--offset-exponent <a>', 'the offset counts 2 N^a times (default: 0)', number(0, 1000))
    .option('--bootstrap <replicates>', 'bootstrap replicates', number(100, 1_000_000, true), 1000)
    .option('--seed <seed>', 'seed of the bootstrap', number(0, Number.MAX_SAFE_INTEGER, true), 0)
    .addHelpText(
      'after',
      `
Examples:
  covn tournament *.output --sequence docid,sentid --value Surprisal --cluster docid -N 2,8,64
  covn tournament wide.csv --sequence id --kind logprob -N 4 --bootstrap 2000 --seed 1
  covn tournament long.jsonl --model-column checkpoint --sequence id --value logprob -N 4,16 --json
  covn tournament wide.csv --sequence id -N 4 --on-policy generations.csv --generator model --offset-exponent 0.5
  covn tournament logprobs.npy -N 8`,
    )
    .action((files: string[], flags: TournamentFlags) => run(context(flags.json), files, flags));
}
