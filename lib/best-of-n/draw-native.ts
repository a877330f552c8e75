import { type ModelOptions, nativeModel } from '../model/index.ts';
import { resolveDevice, runJob, seedWords, unavailable } from '../native/index.ts';
import { makeReduced, type Plan, type Reduced } from './plan.ts';
import type { CheckedAutomaton } from './rewards.ts';
import { tableAutomaton } from './trie.ts';

/** An automaton, for a model with so many prompts, as the addon reads it. */
function automatonRequest({ start, next, classes, ...rest }: CheckedAutomaton, prompts: number) {
  const starts = typeof start === 'number' ? new Int32Array(prompts).fill(start) : start;
  return { reward: 'automaton', ...rest, automatonNext: next, automatonStart: starts, ...(classes && { classes }) };
}

/** The reward as the addon reads it; undefined where it is JavaScript's to compute. */
function nativeReward({ model, reward }: Plan): object | undefined {
  const { prompts } = model as unknown as { prompts: number };
  switch (reward.kind) {
    case 'function':
      return undefined;
    case 'automaton':
      return automatonRequest(reward.automaton, prompts);
    case 'table': {
      const automaton = tableAutomaton(reward.table, prompts, model.vocab);
      return automaton && automatonRequest(automaton, prompts);
    }
    default: {
      if (reward.kind === 'logProb' && reward.model === model) return { reward: 'ownLogProb' };
      const other = nativeModel(reward.model);
      return other && { reward: reward.kind, other };
    }
  }
}

/** All in the addon; undefined where model or reward are not the addon's. */
export async function drawNatively(plan: Plan, options: ModelOptions): Promise<Reduced | undefined> {
  const model = nativeModel(plan.model);
  const reward = model && nativeReward(plan);
  if (!reward) {
    if (options.device !== 'cuda') return undefined;
    const which = model ? 'a reward that JavaScript computes' : 'a model that is not made of tables';
    throw unavailable('cuda', `${which} has no CUDA path`);
  }
  const reduced = makeReduced(plan);
  const { N, seed, maxLength, sizes, kept, success } = plan;
  const request = {
    ...{ model, samples: N, maxLength, sizes, keep: kept, ...reward, ...reduced },
    prompts: Uint32Array.from(plan.prompts),
    keptLogProbs: new Float64Array(reduced.keptSamples.length),
    seed: seedWords(seed),
    success: success ?? Number.POSITIVE_INFINITY,
    target: resolveDevice(options.device, 'bestOfN'),
  };
  await runJob('bestOfN', request, options);
  return reduced;
}
