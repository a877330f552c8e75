/** What was never seen: KL has no bound, coverage misses no more than its probability (section 3, Prop 3.2). */

import { coverageProfile } from '../coverage/index.ts';
import { type Estimate, PhiloxStream, proportionEstimate } from '../estimate/index.ts';
import { type ModelOptions, TabularModel } from '../model/index.ts';
import { binomial } from './binomial.ts';
import { experiment, type Setup } from './experiment.ts';
import type { Panel } from './figure/index.ts';
import { iidCoverage, iidKl, iidMachine } from './iid.ts';

const N = 16;
/** P[1] of the coin (instance 4.1). */
const rare = 0.02;
const drawn = [4, 8, 16, 32, 64, 128, 256, 512];
/** Draws of the second instance (4.2), and its lengths. */
const n = 64;
const lengths = [4, 8, 16, 32, 64, 128, 256];

const defaults = {
  datasets: { what: 'data sets drawn at each n', default: 1000, min: 10, max: 100_000 },
  responses: { what: 'responses on which a model is measured', default: 4000, min: 100, max: 1_000_000 },
};

/** Cov_N of Ber(k / n) against Ber(p). */
function coinCoverage(k: number, n: number): number {
  const covers = (p: number, q: number) => q > 0 && Math.log(p) - Math.log(q) < Math.log(N);
  return (covers(rare, k / n) ? 0 : rare) + (covers(1 - rare, 1 - k / n) ? 0 : 1 - rare);
}

/** The coin's maximum likelihood estimates from data sets of n draws. */
async function coins(n: number, { settings, seed, job }: Setup<typeof defaults>) {
  const coin = new TabularModel(iidMachine([[Math.log1p(-rare), Math.log(rare)]], 1));
  const { datasets } = settings;
  const { tokens } = await coin.sample([0], { N: n * datasets, seed }, job);
  const sets = Array.from({ length: datasets }, (_, set) =>
    tokens.subarray(set * n, (set + 1) * n).reduce((sum, token) => sum + token, 0),
  );
  // A coin that never showed 0 has infinite KL too.
  const infinite = sets.filter((k) => k === 0 || k === n).length;
  const exact = Array.from({ length: n + 1 }, (_, k) => binomial(n, rare, k) * coinCoverage(k, n));
  return {
    n,
    infiniteKl: proportionEstimate(infinite, datasets),
    infiniteKlExact: (1 - rare) ** n + rare ** n,
    coverage: sets.reduce((sum, k) => sum + coinCoverage(k, n), 0) / datasets,
    coverageExact: exact.reduce((a, b) => a + b),
    unseen: { kl: Number.POSITIVE_INFINITY, coverage: coinCoverage(0, n) },
  };
}

/** log probabilities of the tokens -1 and +1 at theta. */
const tokenLogs = (theta: number): [number, number] => {
  const log = Math.log(2 * Math.cosh(theta));
  return [-theta - log, theta - log];
};

const scale = ({ value, lower, upper }: Estimate, by: number) => ({
  value: by * value,
  lower: by * lower,
  upper: by * upper,
});

/** Prop 3.2 at one length: theta* = 1, and the estimate 0 of a data set that never shows x = 1, which has mu(1) = 1/(2n). */
async function longResponses(H: number, { settings, seed, job }: Setup<typeof defaults>) {
  const mass = 1 / (2 * n);
  const [truth, estimate] = [tokenLogs(1), tokenLogs(0)];
  const [reference, model] = [truth, estimate].map((logs) => new TabularModel(iidMachine([logs], H)));
  const responses = await reference!.sample([0], { N: settings.responses, seed, maxLength: H }, job);
  const modelLogs = await model!.logProb(responses, job satisfies ModelOptions);
  const profile = coverageProfile(responses.logProbs.map((log, i) => log - modelLogs[i]!));
  return {
    H,
    kl: scale(profile.kl, mass),
    klExact: mass * iidKl(truth, estimate, H),
    coverage: scale(profile.at(N), mass),
    coverageExact: mass * iidCoverage(truth, estimate, H, Math.log(N)),
  };
}

/** How many data sets of n prompts lack x = 1. */
function missing({ settings, seed }: Setup<typeof defaults>) {
  const lacks = Array.from({ length: settings.datasets }, (_, set) => {
    const draws = new PhiloxStream(seed, set, 1);
    return Array.from({ length: n }, () => draws.uniform()).every((u) => u >= 1 / (2 * n));
  });
  const share = proportionEstimate(lacks.filter(Boolean).length, settings.datasets);
  return { n, mass: 1 / (2 * n), share, exact: (1 - 1 / (2 * n)) ** n };
}

type Coin = Awaited<ReturnType<typeof coins>>;
type Long = Awaited<ReturnType<typeof longResponses>>;

function coinPanel(coin: readonly Coin[]): Panel {
  return {
    title: `A coin with P[1] = ${rare}, estimated from n draws`,
    x: { label: 'draws n', scale: 'log', base: 2 },
    y: { label: 'probability', domain: [0, 1] },
    series: [
      {
        name: 'KL is infinite, exact',
        of: 'KL',
        style: 'line',
        points: coin.map(({ n, infiniteKlExact: y }) => ({ x: n, y })),
      },
      {
        name: 'KL is infinite, measured',
        of: 'KL',
        style: 'dots',
        points: coin.map(({ n: x, infiniteKl: { value: y, lower, upper } }) => ({ x, y, lower, upper })),
      },
      {
        name: `mean Cov_${N}, exact`,
        of: 'Cov',
        style: 'line',
        points: coin.map(({ n, coverageExact: y }) => ({ x: n, y })),
      },
      {
        name: `mean Cov_${N}, measured`,
        of: 'Cov',
        style: 'dots',
        points: coin.map(({ n, coverage: y }) => ({ x: n, y })),
      },
    ],
  };
}

function lengthPanel(long: readonly Long[]): Panel {
  const dots = (key: 'kl' | 'coverage') =>
    long.map(({ H: x, [key]: { value: y, lower, upper } }) => ({ x, y, lower, upper }));
  return {
    title: `A prompt of probability 1/${2 * n} that ${n} draws never showed`,
    x: { label: 'tokens a response, H', scale: 'log', base: 2 },
    y: { label: `KL (nats), Cov_${N} (probability)`, scale: 'log' },
    series: [
      { name: 'KL, exact', of: 'KL', style: 'line', points: long.map(({ H, klExact: y }) => ({ x: H, y })) },
      { name: 'KL, measured', of: 'KL', style: 'dots', points: dots('kl') },
      {
        name: `Cov_${N}, exact`,
        of: 'Cov',
        style: 'line',
        points: long.map(({ H, coverageExact: y }) => ({ x: H, y })),
      },
      { name: `Cov_${N}, measured`, of: 'Cov', style: 'dots', points: dots('coverage') },
    ],
    guides: [{ axis: 'y', at: 1 / (2 * n), text: 'probability of the prompt', word: 'below right' }],
  };
}

const tables = (coin: readonly Coin[], long: readonly Long[]) => [
  {
    title: `The coin: maximum likelihood from n draws, P[1] = ${rare}`,
    columns: [
      { name: 'n' },
      { name: 'P[KL = ∞], measured', decimals: 4 },
      { name: 'exact', decimals: 4 },
      { name: `mean Cov_${N}, measured`, of: 'Cov', decimals: 5 },
      { name: 'exact', decimals: 5 },
    ],
    rows: coin.map((row) => [row.n, row.infiniteKl.value, row.infiniteKlExact, row.coverage, row.coverageExact]),
  },
  {
    title: `The unseen prompt: responses of H tokens, n = ${n}`,
    columns: [
      { name: 'H' },
      { name: 'KL, measured', of: 'KL', decimals: 4 },
      { name: 'exact', decimals: 4 },
      { name: `Cov_${N}, measured`, decimals: 5 },
      { name: 'exact', decimals: 5 },
    ],
    rows: long.map((row) => [row.H, row.kl.value, row.klExact, row.coverage.value, row.coverageExact]),
  },
];

async function work(setup: Setup<typeof defaults>) {
  const coin: Coin[] = [];
  const long: Long[] = [];
  const progress = () => setup.onProgress((coin.length + long.length) / (drawn.length + lengths.length));
  for (const n of drawn) {
    coin.push(await coins(n, setup));
    progress();
  }
  for (const H of lengths) {
    long.push(await longResponses(H, setup));
    progress();
  }
  const unseen = missing(setup);
  const longest = long.at(-1)!;
  return {
    values: { N, coin, long, unseen },
    tables: tables(coin, long),
    findings: [
      `As long as the coin has not shown a 1, its KL is infinite; it then misses Cov_${N} = ${rare}, P[1], and nothing else.`,
      `${(100 * unseen.share.value).toFixed(1)} % of the data sets never show the prompt of probability 1/${2 * n} ` +
        `(exactly ${(100 * unseen.exact).toFixed(1)} %). KL then grows with H, by ${((n * longest.klExact) / longest.H).toFixed(3)} H/n ` +
        `nats for the estimate 0; Cov_${N} is at most ${unseen.mass}.`,
    ],
    figure: {
      title: 'What was never seen costs KL without bound, coverage only its probability',
      caption:
        `Left: a coin estimated by the share of ones in n draws. Its KL is infinite whenever no 1 was drawn; Cov_${N}, the ` +
        `probability of what the estimate makes more than ${N} times too rare, falls as that becomes unlikely. Right: a prompt ` +
        'was never seen, so its tokens are thought to be fair while P[+1] is 0.88. KL adds up over tokens, coverage does not. ' +
        'Lines are exact, dots measured, with intervals of 95 % where these are larger than the dots.',
      panels: [coinPanel(coin), lengthPanel(long)],
    },
  };
}

/** Instances 4.1 and 4.2. */
export const missingMass = experiment({
  name: 'missing-mass',
  summary:
    'What the data never showed makes KL infinite, or grow with length; coverage misses its probability and no more.',
  settings: defaults,
  work,
});
