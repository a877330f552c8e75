/** Curves against N as a small chart of braille dots. */

import { count } from './format.ts';

const ROWS = 8;
const DOTS = [0x01, 0x02, 0x04, 0x40, 0x08, 0x10, 0x20, 0x80]; // braille bits of a cell: left column, then right

/** A curve: its value at each N, ascending. */
export interface Curve {
  readonly points: readonly { readonly N: number; readonly value: number }[];
  /** Draws every so many dots only. Default 1: a line. */
  readonly every?: number;
}

/** Cov_N (0 to its greatest value) against N (logarithmic), as lines of text; empty where there is nothing to draw. */
export function plotProfile(points: Curve['points'], columns = 60): string {
  return plotCurves('Cov_N', [{ points }], columns);
}

/** Curves at the same N, from 0 to the greatest value. Between the Ns they are drawn straight. */
export function plotCurves(label: string, curves: readonly Curve[], columns = 60): string {
  const drawn = curves.map(({ points, every = 1 }) => ({
    points: points.filter(({ N, value }) => N >= 1 && Number.isFinite(N) && Number.isFinite(value)),
    every,
  }));
  const Ns = drawn[0]!.points.map(({ N }) => N);
  const [from, to] = [Math.log(Ns[0] ?? 1), Math.log(Ns.at(-1) ?? 1)];
  const top = Math.max(...drawn.flatMap(({ points }) => points.map(({ value }) => value)));
  if (Ns.length < 2 || to <= from || top <= 0) return '';
  const cells = new Uint8Array(ROWS * columns);
  const [wide, high] = [2 * columns - 1, 4 * ROWS - 1];
  for (const { points, every } of drawn) {
    for (let x = 0; x <= wide; x += every) {
      const value = valueAt(points, from + (x / wide) * (to - from));
      const y = Math.round((1 - value / top) * high);
      cells[Math.floor(y / 4) * columns + (x >> 1)]! |= DOTS[(x & 1) * 4 + (y % 4)]!;
    }
  }
  const lines = Array.from({ length: ROWS }, (_, row) => {
    const mark = row === 0 ? top.toFixed(3) : row === ROWS - 1 ? '0' : '';
    const text = [...cells.subarray(row * columns, (row + 1) * columns)].map((bits) =>
      String.fromCharCode(0x2800 + bits),
    );
    return `  ${mark.padStart(7)} ┤${text.join('')}`;
  });
  const [left, right] = [`N = ${count(Ns[0]!)}`, count(Ns.at(-1)!)];
  const axis = `${' '.repeat(11)}${left}${' '.repeat(Math.max(1, columns - left.length - right.length))}${right}`;
  return [`  ${label.padStart(7)}`, ...lines, axis].join('\n');
}

/** The curve at log N = `at`. A profile is a falling staircase in truth. */
function valueAt(points: Curve['points'], at: number): number {
  const found = points.findIndex(({ N }) => Math.log(N) >= at - 1e-12);
  const k = Math.max(1, found);
  const [a, b] = [points[k - 1]!, points[k]!];
  const share = (at - Math.log(a.N)) / (Math.log(b.N) - Math.log(a.N));
  return a.value + share * (b.value - a.value);
}
