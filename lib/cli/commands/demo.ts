/** `covn demo`: Figure 1 on a model that is known exactly, then a real tournament on recorded surprisals, step by step. */

import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { readLogProbs } from '../../io/index.ts';
import { type Experiment, fig1 } from '../../lab/index.ts';
import type { Context } from '../context.ts';
import { count } from '../format.ts';
import { runExperiment } from './lab.ts';
import { playAll, standings, verdict } from './tournament.ts';

const FILE = 'examples/data/word-surprisals.tsv.gz';
const SIZES = [2, 8, 64, 1024];
const BOOTSTRAP = 1000;

/** The claim, where everything is known. */
async function runFigure({ say, colors, ...context }: Context, out: string): Promise<object> {
  say(colors.bold('Part 1: which checkpoint of a training run, where the truth is known'));
  const result = await runExperiment({ say, colors, ...context }, fig1 as unknown as Experiment, { seed: 0, out });
  say();
  return result;
}

/** The same choice, where it is not. */
async function runTournament(context: Context): Promise<object> {
  const { say, colors } = context;
  say(colors.bold('Part 2: which of 14 language models, on recorded log-probs\n'));
  const path = fileURLToPath(new URL(`../../../${FILE}`, import.meta.url));
  say(colors.bold('1. Reading recorded log-probs'));
  const columns = { sequence: ['docid', 'sentid'], cluster: 'docid', position: 'sentpos', kind: 'surprisal' } as const;
  const given = await readLogProbs(path, { ...columns, unit: 'nats', signal: context.signal });
  const { models, ids, tokens, clusters } = given;
  const words = tokens.reduce((a, b) => a + b, 0);
  say(`   ${FILE}`);
  say(`   Read ${given.reading.text}.`);
  say(`   ${words} words summed to ${ids.length} sentences (the responses) of ${new Set(clusters).size} texts,`);
  say(`   each scored by ${models.length} language models of the Pythia, Mamba and RWKV families.\n`);
  say(colors.bold(`2. Playing tournaments at N = ${SIZES.join(', ')}`));
  say('   For models i and j, Cov_N(j against i) is the share of sentences to which j gives at least N times the');
  say('   probability that i gives. A model is scored by its worst opponent; the least score wins (Eq. 29).');
  say(`   ${BOOTSTRAP} bootstrap replicates draw whole texts, as sentences of one text are alike.`);
  const results = await playAll(context, given, { sizes: SIZES, bootstrap: BOOTSTRAP, seed: 0, confidence: 0.95 });
  for (const result of results) {
    say(`\n   ${colors.bold(`N = ${count(result.N)}`)}`);
    say(standings(context, result, 5));
    say(`  ${verdict(result)}`);
  }
  say(`\n${colors.bold('3. What it means')}`);
  const differing = results.filter((result) => result.winner !== result.minCrossEntropy);
  const clear = differing.filter((result) => result.significant);
  if (differing.length === 0) {
    say('   At every N the tournament and minimum cross-entropy choose the same model: on these texts the usual rule');
    say('   loses nothing.');
  } else {
    say(`   The tournament differs from minimum cross-entropy at N = ${differing.map((r) => count(r.N)).join(', ')};`);
    say(`   the difference is significant at ${clear.length} of these ${differing.length}.`);
  }
  say(
    '   No reference log-probs log pi_D are known for these texts, so no model has an absolute coverage profile here.',
  );
  say(`\n${colors.bold('4. The same for your own files')}, one per model or one table:`);
  say('   covn tournament YOUR_FILES... --sequence docid,sentid --value Surprisal --cluster docid \\');
  say(`     --position sentpos -N ${SIZES.join(',')} --bootstrap ${BOOTSTRAP}`);
  return {
    file: FILE,
    reading: given.reading.text,
    tournaments: results,
    warnings: given.warnings,
  };
}

async function run(context: Context, out: string): Promise<void> {
  const figure = await runFigure(context, out);
  context.emit({ command: 'demo', fig1: figure, ...(await runTournament(context)) });
}

export function addDemo(program: Command, context: (json?: boolean) => Context): void {
  program
    .command('demo')
    .summary('Figure 1 of the paper, and a real tournament among 14 language models, explained')
    .description(
      'Trains a small model whose data are known exactly, and chooses among its checkpoints (the experiment `covn lab fig1`); ' +
        'then runs a tournament on recorded surprisals of 14 language models and explains each step.',
    )
    .option('--out <folder>', 'where the picture (SVG) and the numbers (JSON) of Figure 1 go', 'covn-lab')
    .option('--json', 'print one JSON document, nothing else')
    .action((flags: { out: string; json?: boolean }) => run(context(flags.json), flags.out));
}
