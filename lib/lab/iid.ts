/** Responses whose tokens are independent and alike: exact coverage from the counts of tokens. */

import type { TabularInput } from '../model/index.ts';
import { binomialTail, logChoose } from './binomial.ts';

/** Terms below e^-60 of a sum of at most 2^20 of them change no digit of a probability. */
const negligible = -60;

/** log(e^a + e^b). */
const logAdd = (a: number, b: number): number => {
  const high = Math.max(a, b);
  return high === Number.NEGATIVE_INFINITY ? high : high + Math.log1p(Math.exp(Math.min(a, b) - high));
};

/** P[k first + (n - k) second >= threshold] for k ~ Binomial(n, p): how often the first of two tokens comes decides. */
function pairTail(n: number, p: number, first: number, second: number, threshold: number): number {
  const reaches = (k: number) => k * first + (n - k) * second >= threshold;
  if (first === second) return reaches(0) ? 1 : 0;
  let k = Math.ceil((threshold - n * second) / (first - second));
  if (first > second) {
    // Ties are decided by the sum itself, not by the division.
    if (k > 0 && k <= n + 1 && reaches(k - 1)) k--;
    else if (k >= 0 && k <= n && !reaches(k)) k++;
    return binomialTail(n, p, k);
  }
  k = Math.floor((threshold - n * second) / (first - second));
  if (k >= -1 && k < n && reaches(k + 1)) k++;
  else if (k >= 0 && k <= n && !reaches(k)) k--;
  return k >= n ? 1 : 1 - binomialTail(n, p, k + 1);
}

/**
 * Cov_N(p ‖ q) of responses of H tokens, each from the same distribution over two or three tokens (Eq. 1): a sum over the
 * counts of tokens.
 * @param reference log p of each token, nats
 * @param model log q of each token, nats, finite
 * @param logN log N, nats: N itself may be beyond all numbers
 */
export function iidCoverage(reference: readonly number[], model: readonly number[], H: number, logN: number): number {
  const ratios = reference.map((log, a) => log - model[a]!);
  const [first, second] = ratios as [number, number];
  const share = (a: number, b: number) => Math.exp(reference[a]! - logAdd(reference[a]!, reference[b]!));
  if (ratios.length === 2) return pairTail(H, share(0, 1), first, second, logN);
  // How often the first token comes, then how often the second does among the rest.
  const rest = logAdd(reference[1]!, reference[2]!);
  const among = share(1, 2);
  let total = 0;
  for (let k = H; k >= 0; k--) {
    const log = logChoose(H, k) + (k > 0 ? k * reference[0]! : 0) + (k < H ? (H - k) * rest : 0);
    // Past the most likely count terms only fall.
    if (log < negligible && k < H * Math.exp(reference[0]!)) break;
    if (log > negligible) total += Math.exp(log) * pairTail(H - k, among, second, ratios[2]!, logN - k * first);
  }
  return Math.min(1, total);
}

/** KL of such responses, nats: H times that of a token. */
export function iidKl(reference: readonly number[], model: readonly number[], H: number): number {
  return (
    H *
    reference.reduce(
      (sum, log, a) => sum + (log === Number.NEGATIVE_INFINITY ? 0 : Math.exp(log) * (log - model[a]!)),
      0,
    )
  );
}

/** The machine of such responses, each prompt with its own distribution: one state a token. */
export function iidMachine(prompts: readonly (readonly number[])[], H: number): TabularInput {
  const vocab = prompts[0]!.length;
  const states = prompts.length * H;
  const logProbs = Float64Array.from(
    { length: states * vocab },
    (_, e) => prompts[Math.floor(e / (vocab * H))]![e % vocab]!,
  );
  const next = Int32Array.from({ length: states * vocab }, (_, e) => {
    const state = Math.floor(e / vocab);
    return state % H === H - 1 ? -1 : state + 1;
  });
  return { vocab, logProbs, next, start: prompts.map((_, prompt) => prompt * H) };
}
