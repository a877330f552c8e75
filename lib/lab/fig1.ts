/** Figure 1: along one training run KL falls while coverage first falls and then rises again; so does Pass@N. */

import { bestOfN, passAtN } from '../best-of-n/index.ts';
import { coverageProfile } from '../coverage/index.ts';
import { type GraphTask, graphTask } from '../graph/index.ts';
import { exactKl, fit, LinearModel } from '../learn/index.ts';
import { TabularModel } from '../model/index.ts';
import { type Tournament, tournament } from '../tournament/index.ts';
import { experiment, type Setup, type Table } from './experiment.ts';
import type { Figure, Guide, Panel } from './figure/index.ts';
import { mean } from './statistics.ts';

/** The paper's N of coverage, and the Pass@N that each pairs with (N/2). */
const coverageNs = [2, 3, 4, 4.6, 5.7];
const passNs = [4, 8, 12];
const tournamentNs = [2, 4, 8];
const last = 24;
/** Checkpoints grow apart: what happens first happens fast. */
const steps = Array.from({ length: last + 1 }, (_, k) => Math.round(2.6 * k ** 2));
const batch = 128;
/**
 * "Repeat the class of the earlier choice" is to be learned much faster than the parity rule. SGD's speed is the square of a
 * feature's scale, Adam's the scale itself.
 */
const optimizers = [
  { rule: 'sgd', stepSize: 1, scales: { repeat: 1, parity: 0.2 } },
  { rule: 'adam', stepSize: 0.05, scales: { repeat: 1, parity: 0.1 } },
] as const;

const defaults = {
  prompts: { what: 'prompts to train on', default: 20_000, min: 1000, max: 2 ** 20 },
  validation: { what: 'prompts to measure on', default: 4000, min: 100, max: 100_000 },
  draws: { what: 'responses drawn for each prompt and checkpoint', default: 48, min: 12, max: 100_000 },
  adam: { what: '1: train by Adam in place of SGD', default: 0, min: 0, max: 1 },
};

/** A linear model over valid paths, uniform over the four of them at theta = 0, and pi_D on the same machine. */
function modelsOf(task: GraphTask, adam: number) {
  const { machine, dimension, featureOffsets, featureIds, featureValues } = task.features({
    candidates: 'passable',
    scales: optimizers[adam]!.scales,
  });
  const { logProbs: _, ...contexts } = machine;
  const model = new LinearModel({ ...contexts, dimension, featureOffsets, featureIds, featureValues });
  return { model, data: new TabularModel(machine) };
}

/** The parameters after each of `steps`. */
async function train({ settings, seed, job }: Setup<typeof defaults>, onProgress: (fraction: number) => void) {
  const task = graphTask({ figure: 1, prompts: settings.prompts, seed });
  const { model } = modelsOf(task, settings.adam);
  const { rule, stepSize } = optimizers[settings.adam]!;
  const prompts = Int32Array.from({ length: task.prompts }, (_, i) => i);
  const responses = await task.data.sample(prompts, { N: 1, seed }, job);
  const passes = Math.ceil((steps[last]! * batch) / task.prompts);
  const fitted = await fit(
    model,
    responses,
    { rule, stepSize, batch, passes, seed, projection: 'none', checkpoints: steps },
    { ...job, onProgress },
  );
  return fitted.checkpoints.map(({ theta }) => theta);
}

/** Prompts to measure on, 0.9 of them of G1 and 0.1 of G2 exactly, and the response of pi_D to each. */
async function validate({ settings, seed, job }: Setup<typeof defaults>) {
  const wanted = [Math.round(0.9 * settings.validation), Math.round(0.1 * settings.validation)];
  // Twice as many as are needed on average: too few G2 are then out of the question.
  const task = graphTask({ figure: 1, prompts: 2 * settings.validation, seed: seed + 1 });
  const left = [...wanted];
  const prompts = Int32Array.from(task.classOf.keys()).filter((i) => left[task.classOf[i]! - 1]!-- > 0);
  const responses = await task.data.sample(prompts, { N: 1, seed }, job);
  return { task, ...modelsOf(task, settings.adam), prompts, responses };
}

/** KL, coverage and Pass@N of a checkpoint. */
async function measure(
  theta: Float64Array,
  { task, model, data, prompts, responses }: Awaited<ReturnType<typeof validate>>,
  { settings, seed, job }: Setup<typeof defaults>,
) {
  const at = model.withTheta(theta);
  const logProbs = await at.logProb(responses, job);
  // log pi_D is 0: a prompt and its class have one right path.
  const profile = coverageProfile(logProbs.map((log) => -log));
  const request = { N: settings.draws, reward: { equals: task.references }, seed, keep: 'statistics' as const };
  const drawn = await bestOfN(at, prompts, { ...request, maxLength: task.length }, job);
  return {
    logProbs,
    kl: mean(await exactKl(data, at, { prompts, ...job })),
    coverage: coverageNs.map((N) => profile.at(N).value),
    pass: passAtN(drawn.counts!, passNs),
    passExact: passAtN({ probability: logProbs.map(Math.exp) }, passNs).map(({ value }) => value),
  };
}

type Measured = Awaited<ReturnType<typeof measure>>;

/** What the tournament chose at N, and how Pass@8 differs over the checkpoints that N alone cannot tell apart. */
function choiceOf(result: Tournament, measured: readonly Measured[]) {
  const { N, winner, tied, selectionProbability, significant } = result;
  const passOf = (checkpoint: number) => measured[checkpoint]!.passExact[1]!;
  return {
    N,
    checkpoint: winner,
    step: steps[winner]!,
    pass8: passOf(winner),
    coverage4: measured[winner]!.coverage[2]!,
    chosen: selectionProbability[winner]!,
    significant,
    tied: [...tied],
    tiedPass8: { least: Math.min(...tied.map(passOf)), most: Math.max(...tied.map(passOf)) },
  };
}

function panels(measured: readonly Measured[], guides: readonly Guide[]): Panel[] {
  const x = { label: `checkpoint k (after 2.6 k² steps of ${batch} responses)` };
  const line = (name: string, value: (row: Measured) => number) => ({
    name,
    style: 'both' as const,
    points: measured.map((row, k) => ({ x: k, y: value(row) })),
  });
  return [
    {
      title: 'KL falls all along',
      x,
      y: { label: 'KL (nats)', domain: [0, 1.6] },
      series: [line('KL', ({ kl }) => kl)],
      guides,
    },
    {
      title: 'Coverage falls, then rises again',
      x,
      y: { label: 'Cov_N (probability; smaller is better)', domain: [0, 1.2] },
      series: coverageNs.map((N, i) => line(`Cov_${N}`, ({ coverage }) => coverage[i]!)),
      guides,
    },
    {
      title: 'Pass@N follows coverage, not KL',
      x,
      y: { label: 'Pass@N (probability; larger is better)', domain: [0.65, 1.07] },
      series: passNs.map((N, i) => line(`Pass@${N}`, ({ pass }) => pass[i]!.value)),
      guides,
    },
  ];
}

/** What was chosen: each rule's checkpoint. */
interface Chosen {
  readonly measured: readonly Measured[];
  readonly leastKl: number;
  readonly choices: readonly ReturnType<typeof choiceOf>[];
}

/** The rules that choose a checkpoint. */
const choosers = ({ leastKl, choices }: Chosen, k: number): string[] => {
  const Ns = choices.filter(({ checkpoint }) => checkpoint === k).map(({ N }) => N);
  return [...(k === leastKl ? ['least KL'] : []), ...(Ns.length > 0 ? [`tournament, N = ${Ns.join(', ')}`] : [])];
};

/** Whole numbers as ranges: "3-6, 9". */
function ranges(sorted: readonly number[]): string {
  const runs: [from: number, to: number][] = [];
  for (const k of sorted) {
    const run = runs.at(-1);
    if (run && run[1] === k - 1) run[1] = k;
    else runs.push([k, k]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
}

function tablesOf(chosen: Chosen): Table[] {
  const { measured, leastKl, choices } = chosen;
  const least = measured[leastKl]!;
  const probability = (name: string, decimals = 3) => ({ name, decimals });
  return [
    {
      title: 'Checkpoints along training on the 0.9 / 0.1 mixture',
      columns: [
        ...[{ name: 'step' }, probability('KL', 4), probability('Cov_2', 2), probability('Cov_4', 2)],
        ...[probability('Cov_5.7', 2), ...passNs.map((N) => probability(`Pass@${N}`)), probability('Pass@8, exact', 4)],
        { name: 'chosen by' },
      ],
      rows: measured.map(({ kl, coverage, pass, passExact }, k) => [
        ...[steps[k]!, kl, coverage[0]!, coverage[2]!, coverage[4]!],
        ...[...pass.map(({ value }) => value), passExact[1]!, choosers(chosen, k).join(', ')],
      ]),
    },
    {
      title: 'The choices',
      columns: [
        ...[{ name: 'rule' }, { name: 'step' }, probability('Pass@8', 4), probability('Cov_4', 2)],
        ...[{ name: 'tied checkpoints' }, { name: 'Pass@8 over the tied' }],
      ],
      rows: [
        ['least KL', steps[leastKl]!, least.passExact[1]!, least.coverage[2]!, '', ''],
        ...choices.map(({ N, step, pass8, coverage4, tied, tiedPass8: { least, most } }) => [
          ...[`tournament, N = ${N}`, step, pass8, coverage4],
          ...[`${tied.length}: ${ranges(tied)}`, `${least.toFixed(3)} to ${most.toFixed(3)}`],
        ]),
      ],
    },
  ];
}

function figureOf(chosen: Chosen, { validation, draws }: { validation: number; draws: number }): Figure {
  const places = new Set([...chosen.choices.map(({ checkpoint }) => checkpoint), chosen.leastKl]);
  const guides = [...places].map((at): Guide => ({ axis: 'x', at, text: choosers(chosen, at).join('; ') }));
  return {
    title: 'Figure 1: the checkpoint of least KL is not the one to draw from',
    caption:
      'A linear model learns paths through graphs. The right path is that of class G1 (0.9) or G2 (0.1), which the prompt ' +
      'does not show. The model starts uniform over the four valid paths, soon learns that the second choice repeats the first ' +
      "one's class, and slowly that G1 is more frequent. Cov_N is the probability that the right path is at least N times less " +
      'likely under the model than under the data; Pass@N that one of N drawn paths is right. Dotted: what least KL and the ' +
      `tournament (N = ${tournamentNs.join(', ')}) choose. On ${validation} prompts, ${draws} draws each.`,
    panels: panels(chosen.measured, guides),
  };
}

/** KL, coverage and Pass@N of all checkpoints, and the choices among them. */
async function choose(setup: Setup<typeof defaults>, thetas: readonly Float64Array[]): Promise<Chosen> {
  const validation = await validate(setup);
  const measured: Measured[] = [];
  for (const theta of thetas) {
    measured.push(await measure(theta, validation, setup));
    setup.onProgress(0.2 + (0.7 * measured.length) / thetas.length);
  }
  const names = steps.map((step) => `step ${step}`);
  const logProbs = Float64Array.from(measured.flatMap((row) => [...row.logProbs]));
  const results = await tournament({ logProbs, models: thetas.length, names, N: tournamentNs, ...setup.job });
  const choices = results.map((result) => choiceOf(result, measured));
  return { measured, choices, leastKl: results[0]!.minCrossEntropy };
}

async function work(setup: Setup<typeof defaults>) {
  const thetas = await train(setup, (fraction) => setup.onProgress(0.2 * fraction));
  const chosen = await choose(setup, thetas);
  const { measured, leastKl, choices } = chosen;
  const { kl, passExact, pass } = measured[leastKl]!;
  return {
    values: {
      steps,
      checkpoints: measured.map(({ logProbs: _, ...row }, k) => ({ step: steps[k]!, theta: [...thetas[k]!], ...row })),
      leastKl: { checkpoint: leastKl, step: steps[leastKl]!, kl, pass8: passExact[1]!, sampled: pass[1]! },
      choices,
    },
    tables: tablesOf(chosen),
    findings: [
      `The checkpoint of least KL has Pass@8 = ${passExact[1]!.toFixed(3)}, the tournament's choices ` +
        `${choices.map(({ pass8 }) => pass8.toFixed(3)).join(', ')}: the paper's 0.96 against 1.00.`,
    ],
    figure: figureOf(chosen, setup.settings),
  };
}

/** The mechanism of Figure 1 (instance 4.7, App. C). */
export const fig1 = experiment({
  name: 'fig1',
  summary:
    'Along training KL falls while coverage and Pass@N turn back; the tournament chooses a better checkpoint than KL.',
  settings: defaults,
  work,
});
