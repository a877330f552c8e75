/** Numbers and tables for people. */

import type { Estimate } from '../estimate/index.ts';

/** A number with so many decimals; ∞ for infinity. */
export function fixed(value: number, decimals = 4): string {
  if (Number.isFinite(value)) return value.toFixed(decimals);
  return Number.isNaN(value) ? '-' : value > 0 ? '∞' : '-∞';
}

/** N as people write it: 16, 5.66, 1.2e+9. */
export function count(N: number): string {
  if (!Number.isFinite(N)) return '∞';
  if (N >= 1e7) return N.toExponential(1);
  return Number.isInteger(N) ? `${N}` : N.toPrecision(3);
}

/** "[0.0123, 0.0456]" */
export function interval({ lower, upper }: { lower: number; upper: number }, decimals = 4): string {
  return `[${fixed(lower, decimals)}, ${fixed(upper, decimals)}]`;
}

/** "0.0312 [0.0123, 0.0456]" */
export function estimate(e: Estimate, decimals = 4): string {
  return `${fixed(e.value, decimals)} ${interval(e, decimals)}`;
}

/** "95 %" */
export function percent(fraction: number): string {
  return `${+(100 * fraction).toFixed(2)} %`;
}

/** Terminal columns that a text takes, colour codes aside. */
function width(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins a colour code
  return [...text.replace(/\x1b\[\d+m/g, '')].length;
}

/** Rows under a header, in aligned columns: the first to the left, the others to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[], bold = (text: string) => text) {
  const widths = header.map((name, i) => Math.max(width(name), ...rows.map((row) => width(row[i] ?? ''))));
  const pad = (text: string, i: number) => {
    const space = ' '.repeat(widths[i]! - width(text));
    return i === 0 ? text + space : space + text;
  };
  const line = (cells: readonly string[]) => `  ${cells.map(pad).join('  ')}`.trimEnd();
  return [bold(line(header)), ...rows.map(line)].join('\n');
}
