/** Words of a picture. Nothing measures text here, so lengths are those of an average sans-serif letter. */

import type { Series } from './figure.ts';

/** Colours that people with any colour vision tell apart (Okabe and Ito), and a symbol for each. */
const colours = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000'];
export const symbols = ['circle', 'square', 'triangle', 'diamond', 'plus', 'star', 'times'] as const;

export interface Look {
  readonly colour: string;
  readonly symbol: (typeof symbols)[number];
}

/** What a series' colour and symbol tell: the quantity. */
export const lookKey = ({ of, name }: Series): string => of ?? name;

/** The look of the series first named so many places down. */
export const lookOf = (place: number): Look => ({
  colour: colours[place % colours.length]!,
  symbol: symbols[place % symbols.length]!,
});

/** About how many pixels a text takes. */
export const textWidth = (text: string, size: number): number => 0.56 * size * [...text].length;

/** Lines of a text that fit a width in pixels; `stretch`: how much wider its letters are than average. */
export function wrap(text: string, size: number, width: number, stretch = 1): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && textWidth(`${last} ${word}`, size) * stretch <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

const escapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** A text as XML has it. */
export const escapeXml = (text: string): string => text.replace(/[&<>"]/g, (letter) => escapes[letter]!);

/** Lines of text from (x, y), the first one's baseline, downwards. */
export function textLines(
  lines: readonly string[],
  {
    x,
    y,
    size,
    weight = 'normal',
    fill = '#222',
  }: { x: number; y: number; size: number; weight?: string; fill?: string },
): string {
  const style = `font-size="${size}" font-weight="${weight}" fill="${fill}"`;
  return lines
    .map((line, i) => `<text x="${x}" y="${y + i * lineHeight(size)}" ${style}>${escapeXml(line)}</text>`)
    .join('');
}

export const lineHeight = (size: number): number => Math.round(1.35 * size);
