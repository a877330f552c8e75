/** How many steps each rule needs, against H, where SGD can take neither large steps nor small ones. */

import { theoryStep } from '../../learn/index.ts';
import type { Setup } from '../experiment.ts';
import { line, median } from '../statistics.ts';
import { flowSteps } from './flow.ts';
import { drawData, varianceOf } from './instance.ts';
import { separation } from './instances.ts';
import {
  averageCovered,
  type Course,
  courseOf,
  covered,
  firstLikelihood,
  firstStep,
  type Judge,
  type Rule,
  testResponses,
  testTimeCoverage,
} from './learners.ts';
import type { Settings } from './settings.ts';

const B = 400;
const b = 24;
const enough = 0.05;
const A = Math.log(16);
/**
 * Steps of SGD that are tried, as multiples of 2 / (H b^2), around which the best one lies at every H; and of SGD whose
 * parameters are averaged, which can do with larger ones. What is likely to be best comes first.
 */
const grids = {
  sgd: [1, Math.SQRT2, 2, Math.SQRT1_2, 0.5],
  averaged: [128, 64, 32, 16, 8, 4, 2, 1],
};
const sgdStep = (H: number, multiple: number) => (2 * multiple) / (H * b ** 2);
const tokenStep = 0.02 / B;
/** Test-time training has no closed form, so that only every so many steps are judged. */
const tokenEvery = 4;
/** Steps after which a rule is given up: twice what SGD needs at the largest H. */
const most = 2048;
const mostPairs = 128;

/** The names of the rules, as tables and figures have them. */
export const names = {
  sgd: 'SGD, best step',
  normalized1: 'normalised SGD, K = 1',
  normalized8: 'normalised SGD, K = 8',
  normalized32: 'normalised SGD, K = 32',
  truncated: 'truncated SGD',
  token: 'token SGD + TTT',
  mle: 'maximum likelihood',
  averaged: 'SGD, parameters averaged',
} as const;
export type Name = keyof typeof names;

/** First steps of one data set. SGD has one for each step of the grid. */
async function race(H: number, seed: number, { settings, job }: Setup<Settings>) {
  const instance = separation(H);
  const many = await drawData(instance, most, seed, job);
  const course: Course = courseOf(instance, many, job);
  const judge = covered(instance, enough);
  const normalized = (batch: number): Rule => ({ rule: 'normalized-sgd', stepSize: 0.03, lambda: 10, batch });
  const responses = await testResponses(instance, settings.responses, seed + 1_000_000, job);
  const token: Judge = async (theta, step) =>
    step % tokenEvery === 0 && (await testTimeCoverage(course, theta, tokenStep, responses)) <= enough;
  /** First steps for each step of the grid; one that needs four times as many as another is given up. */
  const trySteps = async (grid: readonly number[], judgeOf: () => Judge) => {
    const first: number[] = [];
    for (const multiple of grid) {
      const limit = Math.min(most, 4 * Math.min(...first, most));
      first.push(await firstStep(course, { rule: 'sgd', stepSize: sgdStep(H, multiple) }, judgeOf(), limit));
    }
    return first;
  };
  const sgd = await trySteps(grids.sgd, () => judge);
  const averaged = await trySteps(grids.averaged, () => averageCovered(instance, enough));
  return {
    sgd,
    averaged,
    normalized1: await firstStep(course, normalized(1), judge, most),
    normalized8: await firstStep(course, normalized(8), judge, most / 8),
    normalized32: await firstStep(course, normalized(32), judge, most / 32),
    truncated: await firstStep(course, { rule: 'truncated-sgd', stepSize: 1 / B, A }, judge, most),
    token: await firstStep(course, { rule: 'token-sgd', stepSize: tokenStep }, token, most / 8),
  };
}

/** Pairs that maximum likelihood needs. It varies more than the others, and costs little: five times as many data sets. */
const likelihoods = (H: number, { settings, seed, job }: Setup<Settings>): Promise<number[]> =>
  Promise.all(
    Array.from({ length: 5 * settings.seeds }, async (_, i) => {
      const instance = separation(H);
      const few = await drawData(instance, mostPairs, seed + i, job);
      return firstLikelihood(courseOf(instance, few, job), enough, mostPairs);
    }),
  );

/** Medians over data sets; of SGD's at the step of least median. */
async function atLength(H: number, setup: Setup<Settings>, onSeed: () => void) {
  // Most rules take one thread: data sets run side by side.
  const races = await Promise.all(
    Array.from({ length: setup.settings.seeds }, async (_, i) => {
      const result = await race(H, setup.seed + i, setup);
      onSeed();
      return result;
    }),
  );
  const mle = await likelihoods(H, setup);
  const best = (key: 'sgd' | 'averaged') => {
    const grid = grids[key];
    const medians = grid.map((_, j) => median(races.map((each) => each[key][j]!)));
    const j = medians.indexOf(Math.min(...medians));
    return { step: sgdStep(H, grid[j]!), multiple: grid[j]!, all: races.map((each) => each[key][j]!), medians };
  };
  const [sgd, averaged] = [best('sgd'), best('averaged')];
  const of = (key: 'normalized1' | 'normalized8' | 'normalized32' | 'truncated' | 'token') =>
    races.map((each) => each[key]);
  const steps: Record<Name, number[]> = {
    sgd: sgd.all,
    normalized1: of('normalized1'),
    normalized8: of('normalized8'),
    normalized32: of('normalized32'),
    truncated: of('truncated'),
    token: of('token'),
    mle,
    averaged: averaged.all,
  };
  const medians = Object.fromEntries(Object.entries(steps).map(([name, all]) => [name, median(all)])) as Record<
    Name,
    number
  >;
  return { H, steps, medians, sgd, averaged, theory: theoryCosts(H) };
}

/** What the theorems' step sizes cost, along the mean gradient. Their terms in T do not bind, even at this many steps. */
function theoryCosts(H: number) {
  const instance = separation(H);
  const variance = varianceOf(instance);
  const cost = (rule: Parameters<typeof theoryStep>[0]) =>
    flowSteps(instance, enough, theoryStep(rule, { B, T: 2e6, variance, H, N: 16 }));
  return {
    variance,
    sgd: cost('sgd'),
    normalized: cost('normalized-sgd'),
    token: cost('token-sgd'),
    truncated: cost('truncated-sgd'),
  };
}

/** The exponent of H in T ~ H^e, by least squares on logarithms. */
export const exponentOf = (points: readonly { readonly H: number; readonly T: number }[]): number =>
  line(points.map(({ H, T }) => ({ x: Math.log(H), y: Math.log(Math.max(1, T)) }))).slope;

export async function runSeparation(
  lengths: readonly number[],
  setup: Setup<Settings>,
  onProgress: (fraction: number) => void,
) {
  const rows: Awaited<ReturnType<typeof atLength>>[] = [];
  const total = lengths.length * setup.settings.seeds;
  let done = 0;
  for (const H of lengths) rows.push(await atLength(H, setup, () => onProgress(++done / total)));
  const exponents = Object.fromEntries(
    (Object.keys(names) as Name[]).map((name) => [
      name,
      exponentOf(rows.map(({ H, medians }) => ({ H, T: medians[name] }))),
    ]),
  ) as Record<Name, number>;
  return { rows, exponents };
}
