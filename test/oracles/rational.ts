/** Exact binomial tails in rational arithmetic (BigInt), for a probability given as a float64. */

/** x in (0, 1) as numerator / 2^shift, exactly. */
function exact(x: number): { numerator: bigint; shift: number } {
  let shift = 0;
  let scaled = x;
  while (!Number.isInteger(scaled)) {
    scaled *= 2;
    shift++;
  }
  return { numerator: BigInt(scaled), shift };
}

/** P(X <= k) for X ~ Binomial(n, x), rounded once at the end (relative error 1e-15). */
export function binomialUpTo(k: number, n: number, x: number): number {
  const { numerator, shift } = exact(x);
  return lowerTail(k, n, numerator, shift);
}

/** P(X >= k). */
export function binomialFrom(k: number, n: number, x: number): number {
  const { numerator, shift } = exact(x);
  return lowerTail(n - k, n, (1n << BigInt(shift)) - numerator, shift);
}

function lowerTail(k: number, n: number, numerator: bigint, shift: number): number {
  const rest = (1n << BigInt(shift)) - numerator;
  let choose = 1n;
  let sum = 0n;
  for (let i = 0; i <= k; i++) {
    sum += choose * numerator ** BigInt(i) * rest ** BigInt(n - i);
    choose = (choose * BigInt(n - i)) / BigInt(i + 1);
  }
  // sum / 2^(shift n), with 80 significant bits kept
  const length = sum.toString(2).length;
  const drop = Math.max(0, length - 80);
  return Number(sum >> BigInt(drop)) * 2 ** (drop - shift * n);
}

const FRACTION_BITS = 960n;

/**
 * C(n - marked, N) / C(n, N), which is symmetric in `marked` and N, and 1 minus it, by whole numbers with 960 fractional
 * bits: each of min(marked, N) factors is rounded by 2^-960.
 */
export function avoidProbability(n: number, marked: number, N: number): { avoid: number; hit: number } {
  const one = 1n << FRACTION_BITS;
  const larger = BigInt(Math.max(marked, N));
  let avoid = n - marked < N ? 0n : one;
  let left = BigInt(n);
  for (let i = 0; i < Math.min(marked, N) && avoid > 0n; i++, left--) avoid = (avoid * (left - larger)) / left;
  const toNumber = (x: bigint) => Number(x) * 2 ** -Number(FRACTION_BITS);
  return { avoid: toNumber(avoid), hit: toNumber(one - avoid) };
}
