/**
 * Special functions behind the intervals, in float64. Relative error about 1e-12 or better, also where the counts are
 * 1e9 and the tails tiny: densities are built from Stirling remainders and deviances (Loader 2000, "Fast and accurate
 * computation of binomial probabilities"), never from differences of large log-gammas.
 */

const HALF_LOG_2PI = 0.5 * Math.log(2 * Math.PI);
const SQRT_2PI = Math.sqrt(2 * Math.PI);

/**
 * Stirling's remainder log Gamma(z + 1) - [(z + 1/2) log z - z + 1/2 log 2 pi], z > 0. Absolute error about 1e-15 below 16,
 * relative error about 1e-15 above.
 */
export function stirlingRemainder(z: number): number {
  let shift = 0;
  let x = z;
  for (; x < 16; x++) shift += (x + 0.5) * Math.log1p(1 / x) - 1;
  const r = 1 / (x * x);
  const tail = 1 / 1680 - r * (1 / 1188 - r * (691 / 360360 - r / 156));
  return shift + (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * tail))) / x;
}

/** log Gamma(z) for z > 0. Absolute error about 1e-15 near its zeros 1 and 2, relative error about 1e-15 elsewhere. */
export function logGamma(z: number): number {
  return stirlingRemainder(z) + (z - 0.5) * Math.log(z) - z + HALF_LOG_2PI;
}

/** The deviance x log(x / m) + m - x >= 0 for x, m > 0, without cancellation where x is near m. */
function deviance(x: number, m: number): number {
  if (Math.abs(x - m) >= 0.1 * (x + m)) return x * Math.log(x / m) + m - x;
  const v = (x - m) / (x + m);
  let power = 2 * x * v;
  let sum = (x - m) * v;
  for (let j = 3; ; j += 2) {
    power *= v * v;
    const next = sum + power / j;
    if (next === sum) return sum;
    sum = next;
  }
}

/** x^a y^b / B(a, b), y = 1 - x: x y times the Beta(a, b) density. */
function betaKernel(x: number, y: number, a: number, b: number): number {
  if (x <= 0 || y <= 0) return 0;
  const n = a + b;
  const remainders = stirlingRemainder(n) - stirlingRemainder(a) - stirlingRemainder(b);
  return (Math.exp(remainders - deviance(a, n * x) - deviance(b, n * y)) * Math.sqrt((a * b) / n)) / SQRT_2PI;
}

/**
 * I_x(a, b) / kernel for x < (a + 1) / (a + b + 2): the even part of the continued fraction DLMF 8.17.22, in the form of
 * Didonato & Morris (1992, TOMS 708), whose terms hold a - (a + b) x rather than its cancelling pieces.
 */
function betaFraction(x: number, y: number, a: number, b: number): number {
  const first = 1 + (x <= 0.5 ? a - (a + b) * x : (a + b) * y - b);
  let d = (1 + 1 / a) / first;
  let c = Number.POSITIVE_INFINITY;
  let h = d;
  for (let n = 1; n < 1_000_000; n++) {
    const w = n * (b - n) * x;
    const s = a + 2 * n - 1;
    const alpha = ((a + n - 1) * (a + b + n - 1) * w * x) / (s * s);
    const beta = n + w / s + ((a + n) / (s + 2)) * (first + n * (1 + y));
    d = 1 / (beta + alpha * d);
    c = beta + alpha / c;
    h *= d * c;
    if (Math.abs(d * c - 1) < 4e-16) break;
  }
  return h;
}

/**
 * Both tails of Beta(a, b) at x with y = 1 - x given apart, so that neither loses digits: [I_x(a, b), 1 - I_x(a, b)].
 */
function betaTails(x: number, y: number, a: number, b: number): [number, number] {
  if (x <= 0) return [0, 1];
  if (y <= 0) return [1, 0];
  const kernel = betaKernel(x, y, a, b);
  if (x < (a + 1) / (a + b + 2)) {
    const lower = kernel * betaFraction(x, y, a, b);
    return [lower, 1 - lower];
  }
  const upper = kernel * betaFraction(y, x, b, a);
  return [1 - upper, upper];
}

/** Regularised incomplete beta function I_x(a, b) for x in [0, 1], a, b > 0: the cdf of Beta(a, b). */
export function betaCdf(x: number, a: number, b: number): number {
  return betaTails(x, 1 - x, a, b)[0];
}

/** Solves tail(x) = p for x in (0, 1/2] by Newton steps on log tail against log x, kept inside a bracket. */
function solveSmall(p: number, a: number, b: number, side: 0 | 1): number {
  const sign = side === 0 ? 1 : -1;
  const target = Math.log(p);
  let low = 0;
  let high = 0.5;
  let x = Math.min(a / (a + b), 0.5);
  for (let i = 0; i < 400; i++) {
    const tail = betaTails(x, 1 - x, a, b)[side];
    const gap = Math.log(tail) - target;
    if (gap === 0) return x;
    if (gap * sign < 0) low = x;
    else high = x;
    const slope = (sign * betaKernel(x, 1 - x, a, b)) / ((1 - x) * tail);
    let next = x * Math.exp(-gap / slope);
    if (!(next > low && next < high))
      next = low > high / 16 ? (low + high) / 2 : low > 0 ? Math.sqrt(low * high) : high / 16;
    if (next === 0 || Math.abs(next - x) <= 4e-16 * x) return next;
    x = next;
  }
  return x;
}

/** [x, 1 - x] where the chosen tail (0 lower, 1 upper) of Beta(a, b) at x is p in (0, 1). */
function betaQuantilePair(p: number, a: number, b: number, side: 0 | 1): [number, number] {
  const middle = betaTails(0.5, 0.5, a, b)[side];
  if (side === 0 ? p <= middle : p >= middle) {
    const x = solveSmall(p, a, b, side);
    return [x, 1 - x];
  }
  const y = solveSmall(p, b, a, side === 0 ? 1 : 0);
  return [1 - y, y];
}

/**
 * The quantile of Beta(a, b), a, b > 0: the x in [0, 1] whose lower tail (default) or upper tail is p in [0, 1].
 * Naming the tail keeps small probabilities and small x exact.
 */
export function betaQuantile(p: number, a: number, b: number, tail: 'lower' | 'upper' = 'lower'): number {
  if (p <= 0) return tail === 'lower' ? 0 : 1;
  if (p >= 1) return tail === 'lower' ? 1 : 0;
  return betaQuantilePair(p, a, b, tail === 'lower' ? 0 : 1)[0];
}

function normalDensity(z: number): number {
  return Math.exp(-0.5 * z * z) / SQRT_2PI;
}

/** The standard normal's upper tail P(Z > z) for z >= 0: a series below 2.5, a continued fraction (DLMF 7.9.3) above. */
function normalUpperTail(z: number): number {
  if (z < 2.5) {
    let term = z;
    let sum = z;
    for (let k = 3; term > 1e-18 * sum; k += 2) {
      term *= (z * z) / k;
      sum += term;
    }
    return 0.5 - normalDensity(z) * sum;
  }
  let fraction = z;
  for (let k = Math.ceil(60 + 1600 / (z * z)); k >= 1; k--) fraction = z + k / fraction;
  return normalDensity(z) / fraction;
}

/** Standard normal cdf. Relative error about 1e-13 in the lower tail, down to the smallest float64. */
export function normalCdf(z: number): number {
  return z < 0 ? normalUpperTail(-z) : 1 - normalUpperTail(z);
}

/** Standard normal quantile for p in [0, 1]. */
export function normalQuantile(p: number): number {
  if (p > 0.5) return -normalQuantile(1 - p);
  if (p <= 0) return Number.NEGATIVE_INFINITY;
  const t = Math.sqrt(-2 * Math.log(p));
  // Abramowitz & Stegun 26.2.23 (error 4.5e-4), then Newton steps on the log of the tail.
  let z = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
  for (let i = 0; i < 4; i++) {
    const tail = normalUpperTail(z);
    z = Math.max(0, z + (Math.log(tail / p) * tail) / normalDensity(z));
  }
  return -z;
}

/**
 * Student's t quantile for p in (0, 1) and df > 0 degrees of freedom (not necessarily whole; Infinity is the normal).
 * Above 1e6 degrees the expansion of Abramowitz & Stegun 26.7.5 is exact to float64.
 */
export function studentQuantile(p: number, df: number): number {
  if (p > 0.5) return -studentQuantile(1 - p, df);
  if (p <= 0) return Number.NEGATIVE_INFINITY;
  if (p === 0.5) return 0;
  if (df > 1e6) {
    const z = normalQuantile(p);
    const z2 = z * z;
    return z + (z * (z2 + 1)) / (4 * df) + (z * (3 + z2 * (16 + z2 * 5))) / (96 * df * df);
  }
  // P(|T| > t) is the upper tail of Beta(1/2, df/2) at t^2 / (df + t^2).
  const [x, y] = betaQuantilePair(2 * p, 0.5, df / 2, 1);
  return -Math.sqrt((df * x) / y);
}
