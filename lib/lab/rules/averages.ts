/** The mean of Cov_N over the iterates of each rule, which the theorems bound, on the paper's instances. */

import { fit } from '../../learn/index.ts';
import type { Setup } from '../experiment.ts';
import { mean } from '../statistics.ts';
import { coverageAt, drawData, type Instance } from './instance.ts';
import { benign, tooLarge, tooSmall } from './instances.ts';
import {
  type Course,
  courseOf,
  type Rule,
  type Steps,
  sliceOf,
  take,
  testResponses,
  testTimeCoverage,
} from './learners.ts';
import type { Settings } from './settings.ts';

/** The rules compared, as tables and figures have them. */
export const averaged = {
  sgd: 'SGD',
  normalized: 'normalised SGD, K = 1',
  truncated: 'truncated SGD',
  token: 'token SGD + TTT',
  mle: 'maximum likelihood',
} as const;
export type Averaged = keyof typeof averaged;

/** An instance, SGD's step there, and the others', which do not depend on H. */
interface Arena {
  readonly instance: Instance;
  readonly sgd: number;
  readonly steps: Steps;
  /** What Cov_N of each of SGD's iterates is at least, in the theory. */
  readonly least: number;
}

export const arenas = {
  large: (H: number, T: number): Arena => {
    const { instance, B, step } = tooLarge(H, T);
    // The theorem's step of truncated SGD is inverse to log N.
    const truncated = Math.log(16) / (B * instance.logN);
    const steps = { normalized: { stepSize: 0.03, lambda: 10 }, token: 0.02 / B, truncated };
    return { instance, sgd: step, steps, least: 1 - 1 / (2 * T) };
  },
  small: (H: number, T: number): Arena => {
    const { instance, b, mass, step } = tooSmall(H, T);
    const steps = { normalized: { stepSize: 0.03, lambda: 10 }, token: 0.1 / b ** 2, truncated: 1 / b ** 2 };
    return { instance, sgd: step, steps, least: mass / 2 };
  },
  benign: (H: number): Arena => {
    const steps = { normalized: { stepSize: 0.03, lambda: 10 }, token: 1 / 64, truncated: 1 / 64 };
    return { instance: benign(H), sgd: 1 / 64, steps, least: 0 };
  },
} as const;
export type ArenaName = keyof typeof arenas;

/** The iterates theta^1 .. theta^T that `rule` begins its steps with. */
async function iterates(course: Course, rule: Rule, T: number): Promise<Float64Array[]> {
  const start = Float64Array.from(course.instance.start);
  return [start, ...(await take(course, rule, { theta: start, from: 0, to: T - 1 }))];
}

/** Test-time training has no closed form: iterates are judged ever more rarely, each for those until the next. */
function judged(T: number): { t: number; until: number }[] {
  const places = [...new Set([0, ...Array.from({ length: 40 }, (_, k) => Math.floor(2 ** (k / 2)))])].filter(
    (t) => t < T,
  );
  return places.map((t, k) => ({ t, until: places[k + 1] ?? T }));
}

/** The least Cov_N over SGD's iterates, of each of several runs (of instance 4.3 all data are zeros: one run is enough). */
async function leastOfSgd(name: ArenaName, H: number, { settings, seed, job }: Setup<Settings>): Promise<number[]> {
  const { instance, sgd } = arenas[name](H, settings.steps);
  const runs = name === 'large' ? 1 : settings.boundSeeds;
  return Promise.all(
    Array.from({ length: runs }, async (_, i) => {
      const data = await drawData(instance, settings.steps, seed + i, job);
      const path = await iterates(courseOf(instance, data, job), { rule: 'sgd', stepSize: sgd }, settings.steps);
      return Math.min(...path.map((theta) => coverageAt(instance, theta)));
    }),
  );
}

/** Mean Cov_N of each rule's iterates on T pairs, and the iterates of SGD in more detail. */
export async function averagesOf(name: ArenaName, H: number, setup: Setup<Settings>) {
  const { settings, seed, job } = setup;
  const T = settings.steps;
  const { instance, sgd, steps, least } = arenas[name](H, T);
  const data = await drawData(instance, T, seed, job);
  const course = courseOf(instance, data, job);
  const exact = async (rule: Rule) => (await iterates(course, rule, T)).map((theta) => coverageAt(instance, theta));
  const path = await iterates(course, { rule: 'sgd', stepSize: sgd }, T);
  const ofSgd = path.map((theta) => coverageAt(instance, theta));
  const tokens = await iterates(course, { rule: 'token-sgd', stepSize: steps.token }, T);
  const responses = await testResponses(instance, settings.responses, seed + 1_000_000, job);
  let ofToken = 0;
  for (const { t, until } of judged(T)) {
    const coverage = await testTimeCoverage(course, tokens[t]!, steps.token, responses);
    ofToken += (coverage * (until - t)) / T;
  }
  const mle = await fit(course.model, sliceOf(data, 0, T), { rule: 'mle', projection: { ball: 1 } }, job);
  const center = instance.star.map((_, i) => mean(path.map((theta) => theta[i]!)));
  const means: Record<Averaged, number> = {
    sgd: mean(ofSgd),
    normalized: mean(await exact({ rule: 'normalized-sgd', ...steps.normalized, batch: 1 })),
    truncated: mean(await exact({ rule: 'truncated-sgd', stepSize: steps.truncated, A: instance.logN })),
    token: ofToken,
    mle: coverageAt(instance, mle.theta),
  };
  return {
    H,
    means,
    least,
    sgd: {
      /** Cov_N of the best iterate of each run. */
      least: least > 0 ? await leastOfSgd(name, H, setup) : [],
      /** Steps at which the second coordinate changed its sign. */
      flips: path.filter((theta, t) => t > 0 && Math.sign(theta[1]!) === -Math.sign(path[t - 1]![1]!)).length,
      /** Cov_N of the mean of the iterates' parameters. */
      averaged: coverageAt(instance, center),
    },
  };
}
