/** `covn best-of-n` on a model that covn samples. */

import { createInterface } from 'node:readline';
import { type BestOfN, bestOfN, passAtN } from '../../best-of-n/index.ts';
import type { Estimate } from '../../estimate/index.ts';
import { modelError, openText, readModel } from '../../io/index.ts';
import { type Context, withProgress } from '../context.ts';
import { count, estimate, percent, table } from '../format.ts';
import { UsageError } from '../usage.ts';

export interface ModelFlags {
  readonly sizes?: number[];
  readonly draws?: number;
  readonly seed?: number;
  readonly maxLength?: number;
  readonly confidence: number;
}

/** Whether a file holds a model rather than samples. JSON Lines are at times named .json too: objects of other fields. */
export async function isModel(file: string, signal?: AbortSignal): Promise<boolean> {
  if (!/\.json(\.gz)?$/.test(file)) return false;
  for await (const line of createInterface({ input: await openText(file, signal) })) {
    try {
      const first: unknown = JSON.parse(line);
      if (first === null || typeof first !== 'object') return true;
      return 'vocab' in first || ('next' in first && 'start' in first);
    } catch {
      return true; // over several lines
    }
  }
  return true;
}

const mean = (values: Float64Array): number => values.reduce((a, b) => a + b) / values.length;

function sayRun(
  context: Context,
  run: BestOfN,
  Ns: readonly number[],
  passes: readonly Estimate[],
  confidence: number,
) {
  const { statistics, N, prompts } = run;
  context.say(`Drew ${count(N)} responses to each of ${count(prompts.length)} prompts (seed ${run.seed}).\n`);
  const rows = Ns.map((size, i) => [`${size}`, estimate(passes[i]!)]);
  context.say(table(['N', 'Pass@N'], rows, context.colors.bold));
  context.say(
    `  Intervals: ${percent(confidence)} over prompts (${[...new Set(passes.map(({ method }) => method))].join(', ')}).`,
  );
  const length = mean(statistics.meanLength).toPrecision(3);
  const entropy = (-mean(statistics.meanLogProb)).toPrecision(3);
  context.say(
    `  Responses: ${length} tokens and ${entropy} nats on average, ${percent(mean(statistics.endedShare))} ended.`,
  );
  const never = run.counts!.correct as Float64Array;
  const failed = never.filter((correct) => correct === 0).length;
  if (failed > 0) context.say(`  ${count(failed)} of ${count(prompts.length)} prompts were never answered right.`);
}

/** The powers of two, and all draws. */
function defaultSizes(draws: number): number[] {
  const powers = Array.from({ length: Math.ceil(Math.log2(draws)) }, (_, k) => 2 ** k);
  return [...powers, draws];
}

export async function runModel(context: Context, file: string, flags: ModelFlags): Promise<void> {
  const { model, reward } = await readModel(file, context.signal);
  const { draws = 4096, seed = 0, maxLength = 1024, confidence } = flags;
  const Ns = flags.sizes ?? defaultSizes(draws);
  const most = Math.max(...Ns);
  if (most > draws) throw new UsageError(`Pass@${most} needs at least as many draws: give --draws ${most} or more`);
  const prompts = Int32Array.from({ length: model.prompts }, (_, prompt) => prompt);
  const signal = context.signal && { signal: context.signal };
  try {
    const run = await withProgress(context, 'best-of-n', (onProgress) =>
      bestOfN(model, prompts, { N: draws, reward, seed, maxLength }, { ...signal, onProgress }),
    );
    const passes = passAtN(run.counts!, Ns, { confidence });
    const { sizes, successes, statistics, best } = run;
    const result = { N: Ns, passAtN: passes, draws, seed, maxLength, sizes, successes, statistics, best };
    context.emit({ command: 'best-of-n', file, prompts: model.prompts, ...result });
    sayRun(context, run, Ns, passes, confidence);
  } catch (error) {
    throw modelError(file, error);
  }
}
