/** What the colours and symbols of a panel mean. */

import type { Series } from './figure.ts';
import { escapeXml, type Look, lookKey, textWidth } from './words.ts';

const swatch = 26;
const space = 16;
const rowHeight = 18;

/** The places of the series' names, in rows of a width. */
export function legendRows(series: readonly Series[], width: number, size: number) {
  let [x, row] = [0, 0];
  const places = series.map(({ name }) => {
    const needed = swatch + 6 + textWidth(name, size);
    if (x > 0 && x + needed > width) {
      x = 0;
      row++;
    }
    const place = { x, row };
    x += needed + space;
    return place;
  });
  return { places, height: series.length === 0 ? 0 : (row + 1) * rowHeight + 6 };
}

/** The outline of a symbol around (0, 0). */
const shapes: Readonly<Record<Look['symbol'], string>> = {
  circle: 'M3.5,0A3.5,3.5,0,1,1,-3.5,0A3.5,3.5,0,1,1,3.5,0Z',
  square: 'M-3,-3H3V3H-3Z',
  triangle: 'M0,-4L3.8,2.8H-3.8Z',
  diamond: 'M0,-4.5L3,0L0,4.5L-3,0Z',
  plus: 'M-4,0H4M0,-4V4',
  star: 'M0,-4.5L1,-1.4L4.3,-1.4L1.6,0.5L2.6,3.6L0,1.7L-2.6,3.6L-1.6,0.5L-4.3,-1.4L-1,-1.4Z',
  times: 'M-3,-3L3,3M-3,3L3,-3',
};

function swatchOf(style: Series['style'], { colour, symbol }: Look): string {
  const dash = style === 'dashed' ? ' stroke-dasharray="6 4"' : '';
  const line = `<line x1="0" x2="${swatch}" stroke="${colour}" stroke-width="1.8"${dash}/>`;
  const fill = symbol === 'plus' || symbol === 'times' ? 'none' : colour;
  const shape = `<path d="${shapes[symbol]}" transform="translate(${swatch / 2},0)" fill="${fill}" stroke="${colour}"/>`;
  return (style === 'dots' ? '' : line) + (style === 'dots' || style === 'both' ? shape : '');
}

export function drawLegend(
  series: readonly Series[],
  look: ReadonlyMap<string, Look>,
  { y, width, size }: { y: number; width: number; size: number },
): string {
  const { places } = legendRows(series, width, size);
  return series
    .map(({ name, style }, i) => {
      const { x, row } = places[i]!;
      const text = `<text x="${swatch + 6}" dy="0.35em" font-size="${size}" fill="#222">${escapeXml(name)}</text>`;
      return `<g transform="translate(${x},${y + 9 + row * rowHeight})">${swatchOf(style, look.get(lookKey(series[i]!))!)}${text}</g>`;
    })
    .join('');
}
