/** How coverage of maximum likelihood falls with data, and with N. */

import { bounds, coverageProfile } from '../coverage/index.ts';
import { PhiloxStream } from '../estimate/index.ts';
import { exactKl, exactLogRatios, fit, LinearModel } from '../learn/index.ts';
import type { SampledResponses } from '../model/index.ts';
import { experiment, type Setup } from './experiment.ts';
import type { Panel } from './figure/index.ts';

/** Instance 4.5: prompt + has probability p, and the h-th token after it tells of the h-th coordinate alone. */
const H = 12;
const B = 4;
const p = 0.25;
const sizes = [8, 16, 32, 64, 128, 256, 512, 1024, 2048];
const Ns = [1.5, 2, 4, 16, 64];
const curve = Array.from({ length: 33 }, (_, k) => 2 ** (k / 4));
const curveSizes = [16, 64, 256, 1024];

const defaults = {
  datasets: { what: 'data sets at each n', default: 40, min: 2, max: 10_000 },
};

/** The machine: prompts - and +, a state for each token of either; tokens -1 and +1. */
function instance() {
  const entries = 4 * H;
  const features = new Float64Array(entries * H);
  for (let h = 0; h < H; h++) {
    for (const [token, y] of [-1, 1].entries()) features[(2 * (H + h) + token) * H + h] = B * y;
  }
  const next = Int32Array.from({ length: entries }, (_, e) => ((e >> 1) % H === H - 1 ? -1 : (e >> 1) + 1));
  const model = new LinearModel({ vocab: 2, next, start: [0, H], dimension: H, features });
  // On the unit sphere: P[y_h = 1] is 0.91 or 0.09.
  const star = Float64Array.from({ length: H }, (_, h) => (h % 2 === 0 ? 1 : -1) / Math.sqrt(H));
  return { model, data: model.withTheta(star) };
}

/** Data set after data set of n pairs, all drawn at once. */
async function draw(data: LinearModel, n: number, { settings: { datasets }, seed, job }: Setup<typeof defaults>) {
  const random = new PhiloxStream(seed, n, 3);
  const prompts = Int32Array.from({ length: n * datasets }, () => (random.uniform() < p ? 1 : 0));
  const samples = Float64Array.from(prompts, (_, i) => i);
  const drawn = await data.sample(prompts, { samples, seed: seed + n, maxLength: H }, job);
  return Array.from({ length: datasets }, (_, set) => slice(drawn, set * n, (set + 1) * n));
}

const slice = ({ prompts, tokens, offsets }: SampledResponses, from: number, to: number) => ({
  prompts: prompts.subarray(from, to),
  tokens: tokens.slice(offsets[from], offsets[to]),
  offsets: offsets.slice(from, to + 1).map((offset) => offset - offsets[from]!),
});

/** Mean KL and coverage of the estimates from n pairs. */
async function atSize(n: number, setup: Setup<typeof defaults>) {
  const { model, data } = instance();
  const { job, settings } = setup;
  const weightOf = [1 - p, p];
  let kl = 0;
  const coverage = new Float64Array(Ns.length);
  const profile = new Float64Array(curve.length);
  for (const responses of await draw(data, n, setup)) {
    const { model: estimate } = await fit(model, responses, { rule: 'mle', projection: { ball: 1 } }, job);
    const ratios = await exactLogRatios(data, estimate, job);
    const weights = ratios.weights.map((weight, i) => weight * weightOf[ratios.prompts[i]!]!);
    const exact = coverageProfile(ratios.logRatios, { weights });
    kl += p * (await exactKl(data, estimate, { prompts: [1], ...job }))[0]!;
    for (const [i, N] of Ns.entries()) coverage[i]! += exact.at(N).value;
    for (const [i, N] of curve.entries()) profile[i]! += exact.at(N).value;
  }
  const mean = (sum: number) => sum / settings.datasets;
  return { n, kl: mean(kl), coverage: [...coverage].map(mean), profile: [...profile].map(mean) };
}

type Row = Awaited<ReturnType<typeof atSize>>;

function panels(rows: readonly Row[]): Panel[] {
  const floor = 1e-6;
  const shown = (y: number) => (y >= floor ? y : Number.NaN);
  return [
    {
      title: 'Against the number of pairs',
      x: { label: 'pairs n', scale: 'log', base: 2 },
      y: { label: 'mean Cov_N (probability), KL (nats)', scale: 'log', domain: [floor, 10] },
      series: [
        { name: 'KL', style: 'both', points: rows.map(({ n, kl }) => ({ x: n, y: kl })) },
        ...Ns.slice(1).map((N, i) => ({
          name: `Cov_${N}`,
          style: 'both' as const,
          points: rows.map(({ n, coverage }) => ({ x: n, y: shown(coverage[i + 1]!) })),
        })),
      ],
    },
    {
      title: 'Against N',
      x: { label: 'N', scale: 'log', base: 2 },
      y: { label: 'mean Cov_N (probability)', scale: 'log', domain: [floor, 1] },
      series: rows
        .filter(({ n }) => curveSizes.includes(n))
        .map(({ n, profile }) => ({
          name: `n = ${n}`,
          style: 'line' as const,
          points: curve.map((N, i) => ({ x: N, y: shown(profile[i]!) })),
        })),
    },
  ];
}

async function work(setup: Setup<typeof defaults>) {
  const rows: Row[] = [];
  for (const n of sizes) {
    rows.push(await atSize(n, setup));
    setup.onProgress(rows.length / sizes.length);
  }
  const last = rows.at(-1)!;
  const [early, late] = [rows.find(({ n }) => n === 128)!, rows.find(({ n }) => n === 1024)!];
  const slope = Math.log(late.kl / early.kl) / Math.log(8);
  return {
    values: { H, B, p, Ns, curve, rows },
    tables: [
      {
        title: `Maximum likelihood from n pairs, means over ${setup.settings.datasets} data sets`,
        columns: [
          { name: 'n' },
          { name: 'KL', decimals: 5 },
          ...Ns.map((N) => ({ name: `Cov_${N}`, decimals: 6 })),
          { name: 'KL bound of Cov_16', decimals: 4 },
        ],
        rows: rows.map(({ n, kl, coverage }) => [n, kl, ...coverage, bounds.klToCoverage(kl, 16)]),
      },
    ],
    findings: [
      `From 128 to 1024 pairs KL falls like n^${slope.toFixed(2)}; at ${last.n} pairs Cov_2 is ${last.coverage[1]!.toExponential(1)}.`,
      'A larger N needs fewer data: coverage is easier than KL.',
    ],
    figure: {
      title: 'Coverage of maximum likelihood falls with data, and with N',
      caption:
        `A linear model with ${H} parameters in the unit ball (instance of Prop I.1): a prompt of probability ${p}, after which each of ` +
        `${H} tokens tells of one parameter. KL falls like 1/n for any N. Cov_N, the probability that a response of the data is at ` +
        'least N times less likely under the estimate, falls faster, and the faster the larger N. Every number is exact for its data ' +
        `set, and a mean over ${setup.settings.datasets} of them. Below 1e-6 nothing is drawn.`,
      panels: panels(rows),
    },
  };
}

/** Thm 4.2 and Prop I.1. */
export const scaling = experiment({
  name: 'scaling',
  summary: 'Coverage of maximum likelihood falls faster than KL as data grow, and the faster the larger N is.',
  settings: defaults,
  work,
});
