/** The rules as they are compared: the parameters after each step, on one sequence of data. */

import { fit, LinearModel, TestTimeModel } from '../../learn/index.ts';
import type { ModelOptions, Responses, SampledResponses } from '../../model/index.ts';
import { coverageAt, dataModel, type Instance, machineOf } from './instance.ts';

/** Step sizes that do not depend on H. */
export interface Steps {
  readonly normalized: { readonly stepSize: number; readonly lambda: number };
  readonly token: number;
  readonly truncated: number;
}

export type Rule =
  | { readonly rule: 'sgd'; readonly stepSize: number }
  | { readonly rule: 'normalized-sgd'; readonly stepSize: number; readonly lambda: number; readonly batch: number }
  | { readonly rule: 'token-sgd'; readonly stepSize: number }
  | { readonly rule: 'truncated-sgd'; readonly stepSize: number; readonly A: number };

/** An instance with its models and a sequence of data. */
export interface Course {
  readonly instance: Instance;
  readonly model: LinearModel;
  readonly data: Responses;
  readonly job: ModelOptions;
}

export function courseOf(instance: Instance, data: Responses, job: ModelOptions): Course {
  const model = new LinearModel({ ...machineOf(instance), theta: Float64Array.from(instance.start) });
  return { instance, model, data, job };
}

/** Responses from .. to of a list. */
export function sliceOf({ prompts, tokens, offsets }: Responses, from: number, to: number): Responses {
  const first = offsets[from]!;
  return {
    prompts: Array.prototype.slice.call(prompts, from, to),
    tokens: tokens.slice(first, offsets[to]),
    offsets: Float64Array.from({ length: to - from + 1 }, (_, i) => offsets[from + i]! - first),
  };
}

/** The parameters after steps from+1 .. to, by a rule that goes on from `theta`. */
export async function take(
  { instance, model, data, job }: Course,
  rule: Rule,
  { theta, from, to }: { theta: Float64Array; from: number; to: number },
): Promise<Float64Array[]> {
  const batch = 'batch' in rule ? rule.batch : 1;
  const teacher = rule.rule === 'truncated-sgd' ? { teacher: model.withTheta(Float64Array.from(instance.star)) } : {};
  const checkpoints = Array.from({ length: to - from }, (_, i) => i + 1);
  const fitted = await fit(
    model.withTheta(theta),
    sliceOf(data, from * batch, to * batch),
    { ...rule, ...teacher, batch, passes: 1, projection: { ball: 1 }, checkpoints },
    job,
  );
  return fitted.checkpoints.map((checkpoint) => checkpoint.theta);
}

/** Whether the parameters after a step are good enough. */
export type Judge = (theta: Float64Array, step: number) => boolean | Promise<boolean>;

/** Coverage at most `enough`, exactly. */
export const covered =
  (instance: Instance, enough: number): Judge =>
  (theta) =>
    coverageAt(instance, theta, enough) <= enough;

/** The same of their average so far, the start left out. */
export function averageCovered(instance: Instance, enough: number): Judge {
  const sum = new Float64Array(instance.star.length);
  return (theta, step) => {
    if (step === 0) return false;
    for (let i = 0; i < sum.length; i++) sum[i]! += theta[i]!;
    return (
      coverageAt(
        instance,
        sum.map((x) => x / step),
        enough,
      ) <= enough
    );
  };
}

/** Responses to each prompt, on which models without a closed form are judged. */
export async function testResponses(instance: Instance, each: number, seed: number, job: ModelOptions) {
  const prompts = Array.from(instance.mu.keys());
  return dataModel(instance).sample(prompts, { N: each, seed, maxLength: instance.H }, job);
}

/** Cov_N of test-time training from theta (Eq. 22-23), as a share of `responses`. */
export async function testTimeCoverage(
  { instance, model, job }: Course,
  theta: Float64Array,
  stepSize: number,
  responses: SampledResponses,
): Promise<number> {
  const decoder = new TestTimeModel(model.withTheta(theta), { stepSize, projection: { ball: 1 } });
  const logProbs = await decoder.logProb(responses, job);
  const each = responses.prompts.length / instance.mu.length;
  return responses.logProbs.reduce((sum, log, i) => {
    const reached = log - logProbs[i]! >= instance.logN;
    return sum + (reached ? instance.mu[responses.prompts[i]!]! / each : 0);
  }, 0);
}

/** The first step after which `judge` is content, at most `most`; Infinity where none is. */
export async function firstStep(course: Course, rule: Rule, judge: Judge, most: number): Promise<number> {
  let theta = Float64Array.from(course.instance.start);
  if (await judge(theta, 0)) return 0;
  for (let from = 0, chunk = 16; from < most; chunk = Math.min(512, 2 * chunk)) {
    const to = Math.min(most, from + chunk);
    const thetas = await take(course, rule, { theta, from, to });
    for (const [i, reached] of thetas.entries()) {
      if (await judge(reached, from + i + 1)) return from + i + 1;
    }
    theta = thetas.at(-1)! as Float64Array<ArrayBuffer>;
    from = to;
  }
  return Number.POSITIVE_INFINITY;
}

/** The least number of pairs from which maximum likelihood covers, at most `most`. */
export async function firstLikelihood(
  { instance, model, data, job }: Course,
  enough: number,
  most: number,
): Promise<number> {
  for (let n = 1; n <= most; n++) {
    const { theta } = await fit(model, sliceOf(data, 0, n), { rule: 'mle', projection: { ball: 1 } }, job);
    if (coverageAt(instance, theta, enough) <= enough) return n;
  }
  return Number.POSITIVE_INFINITY;
}
