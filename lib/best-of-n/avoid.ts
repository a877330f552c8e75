/** Draws without replacement that avoid marked responses: the probability behind Pass@N and pass^N. */

import { stirlingRemainder } from '../estimate/index.ts';

/** Up to as many factors the product takes no longer than the closed form. */
const FEW = 16;

/**
 * log [ C(n - marked, N) / C(n, N) ]: the log-probability that N of n responses drawn without replacement avoid all
 * `marked` ones; -Infinity where N exceeds the others. exp and expm1 of it have a relative error below 1e-11 for every
 * n < 2^53, wherever they do not underflow.
 *
 * Few factors: prod_{i < min(marked, N)} (1 - max(marked, N) / (n - i)). Many: Stirling's series of the four factorials,
 * whose large parts are taken together. With a = n - marked - N the rest,
 * `(n - marked) (n - N) / (n a) = 1 + marked N / (n a)`, so
 *
 *     (a + 1/2) log1p(marked N / (n a)) + N log(1 - marked / n) + marked log(1 - N / n) + remainders.
 *
 * The first term is at most half as large as the sum of the next two, of the other sign: nothing cancels.
 */
export function logAvoid(n: number, marked: number, N: number): number {
  const rest = n - marked - N;
  if (rest < 0) return Number.NEGATIVE_INFINITY;
  if (Math.min(marked, N) <= FEW) return logProduct(n, Math.max(marked, N), Math.min(marked, N));
  const expected = marked * (N / n);
  // rest! = 1 has no Stirling series at rest = 0: its share is the limit of the first term without the remainder.
  const restTerm =
    rest > 0
      ? (rest + 0.5) * Math.log1p(expected / rest) - stirlingRemainder(rest)
      : 0.5 * Math.log(2 * Math.PI * expected);
  const remainders = stirlingRemainder(n - marked) + stirlingRemainder(n - N) - stirlingRemainder(n);
  return N * logComplement(marked, n) + marked * logComplement(N, n) + restTerm + remainders;
}

function logProduct(n: number, larger: number, factors: number): number {
  let sum = 0;
  for (let i = 0; i < factors; i++) sum += logComplement(larger, n - i);
  return sum;
}

/** log(1 - part / whole). log1p(-x) loses digits as x nears 1, the quotient of two exact whole numbers does not. */
function logComplement(part: number, whole: number): number {
  return 2 * part > whole ? Math.log((whole - part) / whole) : Math.log1p(-part / whole);
}
