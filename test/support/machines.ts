/** Finite machines of contexts, small enough that every response can be listed. */

import { type Responses, type TabularInput, TabularModel } from '../../lib/index.ts';

/** Numbers in [0, 1) from a seed (mulberry32): test data only. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A machine that may end after any token, with some tokens that are never drawn. */
export function randomMachine(seed: number, { states = 4, vocab = 3, prompts = 2, spread = 2, zeros = 0.2 } = {}) {
  const draw = random(seed);
  const logProbs = new Float64Array(states * vocab);
  const next = new Int32Array(states * vocab);
  for (let s = 0; s < states; s++) {
    const weights = Array.from({ length: vocab }, () => (draw() < zeros ? 0 : Math.exp(spread * draw())));
    weights[Math.floor(draw() * vocab)]! += 1;
    const total = weights.reduce((a, b) => a + b);
    for (let t = 0; t < vocab; t++) {
      logProbs[s * vocab + t] = Math.log(weights[t]! / total);
      next[s * vocab + t] = draw() < 0.3 ? -1 : Math.floor(draw() * states);
    }
  }
  const start = Array.from({ length: prompts }, () => Math.floor(draw() * states));
  return { vocab, logProbs, next, start } satisfies TabularInput;
}

export interface Listed {
  readonly tokens: readonly number[];
  readonly logProb: number;
  readonly ended: boolean;
}

/** Every response to a prompt of at most `maxLength` tokens, those cut off there too, and its log-probability. */
export function listResponses(input: TabularInput, prompt: number, maxLength: number): Listed[] {
  const all: Listed[] = [];
  const visit = (state: number, tokens: number[], logProb: number): void => {
    if (state < 0 || tokens.length === maxLength) {
      all.push({ tokens, logProb, ended: state < 0 });
      return;
    }
    for (let t = 0; t < input.vocab; t++) {
      const p = input.logProbs[state * input.vocab + t]!;
      if (p === Number.NEGATIVE_INFINITY) continue;
      visit(input.next[state * input.vocab + t]!, [...tokens, t], logProb + p);
    }
  };
  visit(input.start[prompt]!, [], 0);
  return all;
}

/** Lists of tokens as responses to prompts. */
export function responsesOf(prompts: readonly number[], tokens: readonly (readonly number[])[]): Responses {
  const offsets = [0];
  for (const list of tokens) offsets.push(offsets.at(-1)! + list.length);
  return { prompts, tokens: Int32Array.from(tokens.flat()), offsets };
}

/** The tokens of each response. */
export const tokensOf = ({ tokens, offsets, prompts }: Responses): number[][] =>
  Array.from(prompts, (_, i) => [...tokens.subarray(offsets[i], offsets[i + 1])]);

/** One state whose first token ends the response right away with probability p, and whose second does with 1 - p. */
export function coin(...probabilities: number[]): TabularModel {
  const logProbs = probabilities.flatMap((p) => [Math.log(p), Math.log1p(-p)]);
  return new TabularModel({
    vocab: 2,
    logProbs: Float64Array.from(logProbs),
    next: new Int32Array(logProbs.length).fill(-1),
    start: probabilities.map((_, prompt) => prompt),
  });
}
