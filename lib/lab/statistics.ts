/** Summaries of what experiments measured. */

export const mean = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
};

/** The value below which a share of the values lies, between two of them where it falls between; values may be infinite. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return low === high ? low : low + (at - Math.floor(at)) * (high - low);
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** The line of least squares, and how much of the variance it explains. */
export function line(points: readonly { readonly x: number; readonly y: number }[]) {
  const [x, y] = [mean(points.map((p) => p.x)), mean(points.map((p) => p.y))];
  const [xx, xy, yy] = [
    mean(points.map((p) => (p.x - x) ** 2)),
    mean(points.map((p) => (p.x - x) * (p.y - y))),
    mean(points.map((p) => (p.y - y) ** 2)),
  ];
  return { slope: xy / xx, intercept: y - (xy / xx) * x, r2: xy ** 2 / (xx * yy) };
}
