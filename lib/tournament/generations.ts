/** Generations of sequence models, scored by all of them: the input of the offset tournament. */

import { rangeError, shapeError, typeError } from '../errors.ts';
import {
  checkDrawn,
  checkModelOptions,
  type ModelOptions,
  type SampleRequest,
  type SequenceModel,
} from '../model/index.ts';
import { untilAborted, withSignal } from '../native/index.ts';
import { checkInteger, checkKnownKeys, checkNumberList, checkObject, type NumberList } from '../validate.ts';
import type { OnPolicyLogProbs } from './on-policy.ts';

/** Which responses to draw from each model. */
export type GenerationRequest = Pick<SampleRequest, 'N' | 'seed' | 'maxLength'>;

const mostLogProbs = 2 ** 30;

function checkModels(models: readonly SequenceModel[]): void {
  if (!Array.isArray(models) || models.length === 0) throw typeError('an array of models', 'models', models);
  for (const [i, model] of models.entries()) {
    if (typeof model?.sample !== 'function' || typeof model.logProb !== 'function') {
      throw typeError('a model', `models[${i}]`, model);
    }
    const { vocab } = model;
    if (vocab !== models[0]!.vocab)
      throw rangeError(`${models[0]!.vocab} tokens, as model 0 has`, `models[${i}]`, vocab);
  }
}

/** Each prompt N times with the numbers of its samples: a prompt listed again goes on counting. */
function expand(prompts: NumberList, N: number) {
  const next = new Map<number, number>();
  const all = Array.from({ length: prompts.length * N }, (_, k) => prompts[Math.floor(k / N)]!);
  const samples = Uint32Array.from(all, (prompt) => {
    const sample = next.get(prompt) ?? 0;
    next.set(prompt, sample + 1);
    return sample;
  });
  return { all, samples };
}

/**
 * Draws responses to the prompts from each model, and scores them under all: what `tournament` takes as `onPolicy`. The
 * prompts should be those of the validation responses, or drawn like them. Model i draws with seed + i, so that the
 * generations of different models are independent. A response cut off at `maxLength` counts as the beginning that it is.
 *
 * @param models M models of the same tokens and the same prompts
 * @param prompts indices; one that is listed twice gets twice as many responses
 * @param request N responses to each prompt (default 1), seed (default 0), maxLength (default 1024)
 * @returns log-probs [M, M * prompts * N] with the prompts as clusters, where there are several
 * @throws (as a rejection) TypeError, RangeError, what the models throw, the signal's reason
 */
export async function onPolicyGenerations(
  models: readonly SequenceModel[],
  prompts: NumberList,
  request: GenerationRequest = {},
  options: ModelOptions = {},
): Promise<OnPolicyLogProbs> {
  checkModels(models);
  checkObject(request, 'the request');
  checkKnownKeys(request, ['N', 'seed', 'maxLength'], 'the request');
  checkModelOptions(options);
  const { signal: outer, onProgress, ...rest } = options;
  outer?.throwIfAborted();
  const { seed = 0, maxLength } = request;
  const N = checkInteger(request.N ?? 1, 'N', 1);
  if (checkNumberList(prompts, 'prompts').length === 0) throw shapeError('at least one prompt', 'prompts', '0');
  checkInteger(seed, 'seed', 0, Number.MAX_SAFE_INTEGER - models.length);
  const each = prompts.length * N;
  const total = models.length * each;
  if (models.length * total > mostLogProbs) throw rangeError('models^2 * prompts * N up to 2^30', 'N', N);
  const { all, samples } = expand(prompts, N);
  const logProbs = new Float64Array(models.length * total);
  const clusters = new Int32Array(total);
  const jobs = models.length * (models.length + 1);
  let done = 0;
  const progress = onProgress && { onProgress: (fraction: number) => onProgress((done + fraction) / jobs) };
  await withSignal(outer, async (signal) => {
    const inner = { ...rest, ...progress, signal };
    for (const [i, model] of models.entries()) {
      const asked = { samples: samples.slice(), seed: seed + i, ...(maxLength && { maxLength }) };
      const given = await untilAborted(model.sample(all.slice(), asked, inner), signal);
      const drawn = checkDrawn(given, { prompts: all, samples, vocab: model.vocab });
      done++;
      clusters.set(drawn.prompts, i * each);
      for (const [m, judge] of models.entries()) {
        // What a model drew it has scored.
        const scores = m === i ? drawn.logProbs : await untilAborted(judge.logProb(drawn, inner), signal);
        checkNumberList(scores, `log-probs of models[${m}]`, each);
        logProbs.set(scores, m * total + i * each);
        done++;
      }
    }
  });
  onProgress?.(1);
  const offsets = Float64Array.from({ length: models.length + 1 }, (_, i) => i * each);
  // Responses to the only prompt are independent.
  return new Set(clusters).size > 1 ? { logProbs, offsets, clusters } : { logProbs, offsets };
}
