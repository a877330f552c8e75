/** P(X >= k) for X binomial of n and p, each term from logs of factorials. */
export function binomialAtLeast(k: number, n: number, p: number): number {
  if (p === 0 || p === 1) return k <= n * p ? 1 : 0;
  const logFactorial = new Float64Array(n + 1);
  for (let i = 2; i <= n; i++) logFactorial[i] = logFactorial[i - 1]! + Math.log(i);
  let sum = 0;
  for (let i = n; i >= Math.max(k, 0); i--) {
    const log = logFactorial[n]! - logFactorial[i]! - logFactorial[n - i]!;
    sum += Math.exp(log + i * Math.log(p) + (n - i) * Math.log1p(-p));
  }
  return sum;
}
