/** Figure 2: at convergence KL grows with the length of responses, coverage does not. */

import { coverageProfile } from '../coverage/index.ts';
import { type GraphTask, graphTask } from '../graph/index.ts';
import { exactKl, exactLogRatios, fit, LinearModel } from '../learn/index.ts';
import { TabularModel } from '../model/index.ts';
import { experiment, type Setup } from './experiment.ts';
import type { Panel, Point } from './figure/index.ts';
import { line, median, quantile } from './statistics.ts';

/** Layers of the graphs, the classes' weights (App. C), and what is expected of KL: 0.05 (H/2) log 2. */
const layers = [8, 16, 24];
const weights = [0.94, 0.05, 0.01];
const perLayer = 0.025 * Math.LN2;
const N = 16;
const batch = 128;
const stepSize = 0.3;
/** Powers of the square root of 2, and the last step. */
const stepsUpTo = (last: number): number[] => {
  const powers = Array.from({ length: 40 }, (_, k) => Math.round(2 ** (k / 2))).filter((step) => step < last);
  return [...new Set([...powers, last])];
};

const defaults = {
  seeds: { what: 'training runs', default: 1, min: 1, max: 1000 },
  steps: { what: 'steps of training', default: 2048, min: 16, max: 2 ** 19 },
  prompts: { what: 'prompts to train on', default: 4000, min: 100, max: 2 ** 17 },
  validation: { what: 'prompts of each class to measure on', default: 256, min: 16, max: 4096 },
};

/** A linear model over all nodes of each graph, which at 0 knows nothing, and pi_D on the same machine. */
function modelsOf(task: GraphTask) {
  const { machine, dimension, featureOffsets, featureIds, featureValues } = task.features({ candidates: 'graph' });
  const { logProbs: _, ...contexts } = machine;
  const model = new LinearModel({ ...contexts, dimension, featureOffsets, featureIds, featureValues });
  return { model, data: new TabularModel(machine) };
}

async function train(H: number, seed: number, { settings, job }: Setup<typeof defaults>) {
  const task = graphTask({ figure: 2, layers: H, prompts: settings.prompts, seed });
  const { model } = modelsOf(task);
  const prompts = Int32Array.from({ length: task.prompts }, (_, i) => i);
  const responses = await task.data.sample(prompts, { N: 1, seed }, job);
  const steps = stepsUpTo(settings.steps);
  const passes = Math.ceil((settings.steps * batch) / task.prompts);
  const options = { rule: 'sgd', stepSize, batch, passes, seed, projection: 'none', checkpoints: steps } as const;
  return (await fit(model, responses, options, job)).checkpoints.map(({ theta }) => theta);
}

type ByClass = ReturnType<typeof modelsOf>;

/** KL and coverage, averaged over the classes by their weights. */
async function measure(theta: Float64Array, classes: readonly ByClass[], job: Setup<typeof defaults>['job']) {
  let kl = 0;
  const [ratios, shares]: [number[], number[]] = [[], []];
  for (const [k, { model, data }] of classes.entries()) {
    const at = model.withTheta(theta);
    const each = weights[k]! / model.prompts;
    kl += (await exactKl(data, at, job)).reduce((sum, value) => sum + each * value, 0);
    const exact = await exactLogRatios(data, at, job);
    ratios.push(...exact.logRatios);
    shares.push(...exact.weights.map((weight) => weight * each));
  }
  const profile = coverageProfile(ratios, { weights: shares });
  return { kl, cov8: profile.at(8).value, cov16: profile.at(N).value };
}

/** All checkpoints of one run. */
async function run(H: number, seed: number, setup: Setup<typeof defaults>) {
  const thetas = await train(H, seed, setup);
  const prompts = setup.settings.validation;
  const classes = weights.map((_, k) => {
    const only = weights.map((_, other) => (other === k ? 1 : 0)) as [number, number, number];
    return modelsOf(graphTask({ figure: 2, layers: H, prompts, seed: seed + 1_000_000, classes: only }));
  });
  const steps = stepsUpTo(setup.settings.steps);
  const measured: Awaited<ReturnType<typeof measure>>[] = [];
  for (const theta of thetas) measured.push(await measure(theta, classes, setup.job));
  return { H, seed, checkpoints: measured.map((row, i) => ({ step: steps[i]!, ...row })), theta: [...thetas.at(-1)!] };
}

type Run = Awaited<ReturnType<typeof run>>;

/** Median over runs, and the paper's band of quantiles 1/16 to 15/16. */
const summary = (values: readonly number[]) => ({
  value: median(values),
  lower: quantile(values, 1 / 16),
  upper: quantile(values, 15 / 16),
});

function converged(runs: readonly Run[], H: number) {
  const ends = runs.filter((run) => run.H === H).map(({ checkpoints }) => checkpoints.at(-1)!);
  const [kl, cov8, cov16] = (['kl', 'cov8', 'cov16'] as const).map((key) => summary(ends.map((end) => end[key])));
  /** All of class 2 has the ratio 2^(H/2), but for what chance taught the model: 16 exactly at H = 8. */
  const tie = 2 ** (H / 2) === N;
  const coverage = tie ? cov8! : cov16!;
  return { H, kl: kl!, klExpected: perLayer * H, cov8: cov8!, cov16: cov16!, tie, ratio: kl!.value / coverage.value };
}

function panels(runs: readonly Run[], ends: readonly ReturnType<typeof converged>[], last: number): Panel[] {
  const along = (key: 'kl' | 'cov16') =>
    layers.map((H) => ({
      name: `H = ${H}`,
      style: 'line' as const,
      points: stepsUpTo(last).map((step, i): Point => {
        const {
          value: y,
          lower,
          upper,
        } = summary(runs.filter((run) => run.H === H).map((run) => run.checkpoints[i]![key]));
        return { x: step, y, lower, upper };
      }),
    }));
  const x = { label: `training steps of ${batch} responses`, scale: 'log' as const };
  return [
    {
      title: 'KL: more for longer responses',
      x,
      y: { label: 'KL (nats)', scale: 'log', domain: [0.1, 20] },
      series: along('kl'),
    },
    {
      title: `Coverage: the same for all`,
      x,
      y: { label: `Cov_${N} (probability)`, scale: 'log', domain: [0.01, 1.2] },
      series: along('cov16'),
      guides: [{ axis: 'y', at: weights[1]!, text: 'probability of class 2', word: 'above right' }],
    },
    {
      title: 'After training',
      x: { label: 'layers H' },
      y: { label: `KL / Cov_${N} (nats)`, domain: [0, 10] },
      series: [
        { name: `KL / Cov_${N}`, style: 'both', points: ends.map(({ H, ratio }) => ({ x: H, y: ratio })) },
        { name: '(H/2) log 2', style: 'dashed', points: layers.map((H) => ({ x: H, y: (H / 2) * Math.LN2 })) },
      ],
      guides: [{ axis: 'y', at: Math.log(N) - 1 + 1 / N, text: 'at least, by Prop 3.1', word: 'below right' }],
    },
  ];
}

async function work(setup: Setup<typeof defaults>) {
  const runs: Run[] = [];
  const total = setup.settings.seeds * layers.length;
  for (let i = 0; i < setup.settings.seeds; i++) {
    for (const H of layers) {
      runs.push(await run(H, setup.seed + i, setup));
      setup.onProgress(runs.length / total);
    }
  }
  const ends = layers.map((H) => converged(runs, H));
  const fitted = line(ends.map(({ H, kl }) => ({ x: H, y: kl.value })));
  return {
    values: { layers, steps: stepsUpTo(setup.settings.steps), ends, line: fitted, expectedSlope: perLayer, runs },
    tables: [
      {
        title: `After ${setup.settings.steps} steps, ${setup.settings.seeds === 1 ? 'one run' : `medians of ${setup.settings.seeds} runs`}`,
        columns: [
          { name: 'H' },
          { name: 'KL', decimals: 4 },
          { name: '0.05 (H/2) log 2', decimals: 4 },
          { name: 'Cov_8', decimals: 4 },
          { name: 'Cov_16', decimals: 4 },
          { name: 'KL / Cov_16', decimals: 2 },
          { name: '' },
        ],
        rows: ends.map(({ H, kl, klExpected, cov8, cov16, tie, ratio }) => [
          ...[H, kl.value, klExpected, cov8.value, cov16.value, ratio],
          tie ? 'a tie: class 2 has ratio 16, give or take; KL / Cov_8' : '',
        ]),
      },
    ],
    findings: [
      `KL grows by ${fitted.slope.toFixed(4)} nats a layer (0.05 / 2 log 2 = ${perLayer.toFixed(4)}), R² = ${fitted.r2.toFixed(4)}.`,
      `Cov_8 is ${ends.map(({ cov8 }) => cov8.value.toFixed(3)).join(', ')} at H = ${layers.join(', ')}: the probability of class 2.`,
    ],
    figure: {
      title: 'Figure 2: KL grows with the length of responses, coverage does not',
      caption:
        'A linear model learns paths through graphs of H layers from nothing. In class 2 (0.05) the right path takes one of two nodes ' +
        'at H/2 forks by a rule that it cannot see, so it pays log 2 nats at each. Coverage counts class 2 once, whatever H. Left: KL ' +
        `along training. Middle: the probability that the right path is at least ${N} times less likely under the model. Right: their ` +
        'ratio, at least log N - 1 + 1/N by Prop 3.1: a loose bound for long responses. (At H = 8 class 2 has the ratio 16 up to ' +
        'chance: a tie, at which the curve jumps; on the right Cov_8 stands for it.) ' +
        (setup.settings.seeds > 1
          ? `Medians of ${setup.settings.seeds} runs, bands from 1/16 to 15/16 of them.`
          : 'One run.'),
      panels: panels(runs, ends, setup.settings.steps),
    },
  };
}

/** Figure 2 (App. C). */
export const fig2 = experiment({
  name: 'fig2',
  summary: 'After training KL grows with the length of responses, while coverage stays where it is.',
  settings: defaults,
  work,
});
