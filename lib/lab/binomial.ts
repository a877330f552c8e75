/** Probabilities of counts. */

import { betaCdf, logGamma } from '../estimate/index.ts';

/** log C(n, k). */
export const logChoose = (n: number, k: number): number => logGamma(n + 1) - logGamma(k + 1) - logGamma(n - k + 1);

/** P[X = k] for X ~ Binomial(n, p). */
export function binomial(n: number, p: number, k: number): number {
  if (p <= 0 || p >= 1) return k === (p <= 0 ? 0 : n) ? 1 : 0;
  return Math.exp(logChoose(n, k) + k * Math.log(p) + (n - k) * Math.log1p(-p));
}

/** P[X >= k] for X ~ Binomial(n, p). */
export function binomialTail(n: number, p: number, k: number): number {
  if (k <= 0) return 1;
  if (k > n) return 0;
  if (p <= 0 || p >= 1) return p <= 0 ? 0 : 1;
  return betaCdf(p, k, n - k + 1);
}
