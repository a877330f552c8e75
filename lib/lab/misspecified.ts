/** When no candidate is pi_D, least cross-entropy can choose the one that covers worse (Prop E.1). */

import { coverageProfile } from '../coverage/index.ts';
import { PhiloxStream, proportionEstimate } from '../estimate/index.ts';
import { tournament } from '../tournament/index.ts';
import { binomial, binomialTail } from './binomial.ts';
import { experiment, type Setup } from './experiment.ts';
import type { Panel } from './figure/index.ts';

/** pi_1 is off by e^alpha at +, pi_2 by M at the rare -. */
const alpha = 1;
const M = 1000;
const N = 8;
const p = alpha ** 2 / (32 * Math.log(M));
const sizes = [10, 30, 100, 300, 1000, 3000, 10_000];
const thresholds = Array.from({ length: 45 }, (_, k) => 2 ** (k / 4));

const defaults = {
  datasets: { what: 'validation sets drawn at each n', default: 200, min: 10, max: 10_000 },
};

/** log pi(y|x) of both models; minus: x is -. */
function logsOf(minus: boolean, y: number): [one: number, two: number] {
  const of = (off: boolean, one: number) => Math.log(off ? (y === 1 ? one : 1 - one) : 0.5);
  return [of(!minus, 0.5 * Math.exp(-alpha)), of(minus, 0.5 / M)];
}

/**
 * The probability that pi_2 has the larger likelihood of n pairs, to 1e-12: a sum over the number of - and how many of
 * them have y = 1; enough + with y = 1 must then come.
 */
export function crossEntropyFails(n: number): number {
  const gain = Math.log(2 - Math.exp(-alpha));
  const most = Math.min(n, Math.ceil(n * p + 12 * Math.sqrt(n * p) + 20));
  let total = 0;
  for (let minus = 0; minus <= most; minus++) {
    const weight = binomial(n, p, minus);
    const plus = n - minus;
    for (let ones = 0; ones <= minus; ones++) {
      // log-likelihood of pi_1 less that of pi_2: `fixed` - (alpha + gain) a, where a of the + have y = 1
      const fixed = plus * gain + ones * Math.log(M) - (minus - ones) * Math.log(2 - 1 / M);
      total += weight * binomial(minus, 0.5, ones) * binomialTail(plus, 0.5, Math.floor(fixed / (alpha + gain)) + 1);
    }
  }
  return Math.min(1, total);
}

/**
 * The probability that the tournament at N > e^alpha picks pi_2: no - with y = 1 came, so both scores are 0, and at a smaller N
 * some + with y = 1 or - with y = 0 speaks for pi_2.
 */
export const tournamentFails = (n: number): number => (1 - p / 2) ** n - ((1 - p) / 2) ** n;

/** Log-probs of both models on n pairs from pi_D, [2, n]. */
function draw(n: number, seed: number, set: number): Float64Array {
  const random = new PhiloxStream(seed, set, n);
  const logProbs = new Float64Array(2 * n);
  for (let i = 0; i < n; i++) {
    const logs = logsOf(random.uniform() < p, random.below(2));
    logProbs[i] = logs[0];
    logProbs[n + i] = logs[1];
  }
  return logProbs;
}

/** How often each rule picks pi_2 from n pairs. */
async function choices(n: number, { settings: { datasets }, seed, job }: Setup<typeof defaults>) {
  let [crossEntropy, byTournament] = [0, 0];
  for (let set = 0; set < datasets; set++) {
    const t = await tournament({ logProbs: draw(n, seed, set), models: 2, N, bootstrap: 100, ...job });
    crossEntropy += t.minCrossEntropy;
    byTournament += t.winner;
  }
  return {
    n,
    crossEntropy: proportionEstimate(crossEntropy, datasets),
    crossEntropyExact: crossEntropyFails(n),
    tournament: proportionEstimate(byTournament, datasets),
    tournamentExact: tournamentFails(n),
  };
}

/** Coverage profiles of both models, and their KLs: from the four pairs (x, y) with their probabilities. */
function profiles() {
  const pairs = [false, true].flatMap((minus) => [0, 1].map((y) => ({ minus, y, weight: (minus ? p : 1 - p) / 2 })));
  const weights = pairs.map(({ weight }) => weight);
  return [0, 1].map((model) => {
    const ratios = pairs.map(({ minus, y }) => Math.log(0.5) - logsOf(minus, y)[model]!);
    const profile = coverageProfile(ratios, { weights });
    return { kl: profile.kl.value, coverage: thresholds.map((size) => ({ N: size, value: profile.at(size).value })) };
  });
}

type Row = Awaited<ReturnType<typeof choices>>;

function choicePanel(rows: readonly Row[]): Panel {
  const rule = (key: 'crossEntropy' | 'tournament', name: string) => [
    {
      name: `${name}, exact`,
      of: key,
      style: 'line' as const,
      points: rows.map((row) => ({ x: row.n, y: row[`${key}Exact`] })),
    },
    {
      name: 'measured',
      of: key,
      style: 'dots' as const,
      points: rows.map(({ n: x, [key]: { value: y, lower, upper } }) => ({ x, y, lower, upper })),
    },
  ];
  return {
    title: 'How often each rule chooses pi_2, which covers worse',
    x: { label: 'validation pairs n', scale: 'log' },
    y: { label: 'probability', domain: [0, 1] },
    series: [...rule('crossEntropy', 'least cross-entropy'), ...rule('tournament', `tournament, N = ${N}`)],
  };
}

function profilePanel(models: ReturnType<typeof profiles>): Panel {
  return {
    title: 'Coverage profiles of the two candidates (exact)',
    x: { label: 'N', scale: 'log', base: 2 },
    y: { label: 'Cov_N (probability)', scale: 'log', domain: [1e-3, 1] },
    series: models.map(({ kl, coverage }, model) => ({
      name: `pi_${model + 1}: KL ${kl.toFixed(3)} nats`,
      style: 'steps',
      points: coverage.filter(({ value }) => value > 0).map(({ N: x, value: y }) => ({ x, y })),
    })),
    guides: [{ axis: 'x', at: N, text: `N = ${N}` }],
  };
}

async function work(setup: Setup<typeof defaults>) {
  const rows: Row[] = [];
  for (const n of sizes) {
    rows.push(await choices(n, setup));
    setup.onProgress(rows.length / sizes.length);
  }
  const models = profiles();
  const last = rows.at(-1)!;
  return {
    values: { alpha, M, N, p, rows, models },
    tables: [
      {
        title: `How often pi_2 is chosen from n pairs (mu(-) = ${p.toFixed(5)})`,
        columns: [
          { name: 'n' },
          { name: 'least cross-entropy', decimals: 3 },
          { name: 'exact', decimals: 3 },
          { name: 'tournament', decimals: 3 },
          { name: 'exact', decimals: 3 },
        ],
        rows: rows.map((row) => [
          row.n,
          row.crossEntropy.value,
          row.crossEntropyExact,
          row.tournament.value,
          row.tournamentExact,
        ]),
      },
    ],
    findings: [
      `pi_1 has the larger KL (${models[0]!.kl.toFixed(3)} against ${models[1]!.kl.toFixed(3)} nats) and covers everything at ` +
        `N = ${N}; pi_2 leaves ${(p / 2).toFixed(4)} uncovered up to N = ${M}.`,
      `With ${last.n} pairs least cross-entropy chooses pi_2 in ${(100 * last.crossEntropy.value).toFixed(0)} % of data sets, ` +
        `the tournament in ${(100 * last.tournament.value).toFixed(0)} %: more data make one rule surely wrong, the other right.`,
    ],
    figure: {
      title: 'Least cross-entropy chooses the model that covers worse',
      caption:
        'Two candidates, neither of them pi_D, a fair coin after each of two prompts. pi_1 is a little off after the common ' +
        `prompt, by a factor e at most; pi_2 makes one answer to the rare prompt (${p.toFixed(4)}) ${M} times too unlikely. Left: lines ` +
        'are exact, dots shares of data sets with intervals of 95 %. The tournament fails only while no such answer was ' +
        'seen. Right: the probability that a response from pi_D is at least N times less likely under the model; where a ' +
        'curve ends, it falls to 0.',
      panels: [choicePanel(rows), profilePanel(models)],
    },
  };
}

/** Instance 4.6. */
export const misspecified = experiment({
  name: 'misspecified',
  summary:
    'When no candidate is right, least cross-entropy chooses the one that covers worse; the tournament does not.',
  settings: defaults,
  work,
});
