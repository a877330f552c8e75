/** A coverage profile as a small chart of braille dots. */

import { count } from './format.ts';

const ROWS = 8;
const DOTS = [0x01, 0x02, 0x04, 0x40, 0x08, 0x10, 0x20, 0x80]; // braille bits of a cell: left column, then right

/** Cov_N (0 to its greatest value) against N (logarithmic), as lines of text; empty where there is nothing to draw. */
export function plotProfile(points: readonly { N: number; value: number }[], columns = 60): string {
  const drawn = points.filter(({ N, value }) => N >= 1 && Number.isFinite(N) && Number.isFinite(value));
  const from = Math.log(drawn[0]?.N ?? 1);
  const to = Math.log(drawn.at(-1)?.N ?? 1);
  const top = Math.max(...drawn.map(({ value }) => value));
  if (drawn.length < 2 || to <= from || top <= 0) return '';
  const cells = new Uint8Array(ROWS * columns);
  const [wide, high] = [2 * columns - 1, 4 * ROWS - 1];
  for (let x = 0; x <= wide; x++) {
    // Between the Ns given the profile is drawn straight; it is a falling staircase in truth.
    const at = from + (x / wide) * (to - from);
    const k = Math.max(
      1,
      drawn.findIndex(({ N }) => Math.log(N) >= at - 1e-12),
    );
    const [a, b] = [drawn[k - 1]!, drawn[k]!];
    const share = (at - Math.log(a.N)) / (Math.log(b.N) - Math.log(a.N));
    const y = Math.round((1 - (a.value + share * (b.value - a.value)) / top) * high);
    cells[Math.floor(y / 4) * columns + (x >> 1)]! |= DOTS[(x & 1) * 4 + (y % 4)]!;
  }
  const lines = Array.from({ length: ROWS }, (_, row) => {
    const label = row === 0 ? top.toFixed(3) : row === ROWS - 1 ? '0' : '';
    const text = [...cells.subarray(row * columns, (row + 1) * columns)].map((bits) =>
      String.fromCharCode(0x2800 + bits),
    );
    return `  ${label.padStart(7)} ┤${text.join('')}`;
  });
  const [left, right] = [`N = ${count(drawn[0]!.N)}`, count(drawn.at(-1)!.N)];
  const axis = `${' '.repeat(11)}${left}${' '.repeat(Math.max(1, columns - left.length - right.length))}${right}`;
  return [`  ${'Cov_N'.padStart(7)}`, ...lines, axis].join('\n');
}
