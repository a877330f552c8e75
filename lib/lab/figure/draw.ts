/** The picture of a figure: static SVG, its panels drawn by Observable Plot. */

import { hasPlace, placeOf, scaleOptions } from './axis.ts';
import type { Figure, Panel, Point, Series } from './figure.ts';
import { drawLegend, legendRows } from './legend.ts';
import { escapeXml, type Look, lineHeight, lookKey, lookOf, textLines, textWidth, wrap } from './words.ts';

type PlotLibrary = typeof import('@observablehq/plot');
type Mark = ReturnType<PlotLibrary['line']>;

const sizes = { title: 17, panel: 13, text: 12, tick: 11 };
/** Side by side, or alone. */
const panelWidths = { shared: 400, alone: 640 };
const plotHeight = 300;
const gap = 28;
const margin = 20;
const mostInRow = 3;
/** How much wider bold letters are. */
const bold = 1.13;

/** The look of every series of the figure, by `lookKey`. */
function looks(panels: readonly Panel[]): ReadonlyMap<string, Look> {
  const names = new Set(panels.flatMap(({ series }) => series.map(lookKey)));
  return new Map([...names].map((name, place) => [name, lookOf(place)]));
}

/** Marks of one series, the interval below its points. */
function seriesMarks(Plot: PlotLibrary, { style, points }: Series, { colour, symbol }: Look): Mark[] {
  const marks: Mark[] = [];
  const at = { x: (d: Point) => d.x, y: (d: Point) => d.y };
  const ranges = points.filter(({ lower, upper }) => lower !== undefined && upper !== undefined);
  const ends = { x: (d: Point) => d.x, y1: (d: Point) => d.lower!, y2: (d: Point) => d.upper! };
  if (ranges.length > 0 && style === 'dots')
    marks.push(Plot.ruleX(ranges, { ...ends, stroke: colour, strokeWidth: 1.2 }));
  else if (ranges.length > 0) marks.push(Plot.areaY(ranges, { ...ends, fill: colour, fillOpacity: 0.15 }));
  if (style !== 'dots') {
    const dash = style === 'dashed' ? { strokeDasharray: '6 4' } : {};
    const curve = style === 'steps' ? { curve: 'step-after' as const } : {};
    marks.push(Plot.line(points, { ...at, stroke: colour, strokeWidth: 1.8, ...dash, ...curve }));
  }
  if (style === 'dots' || style === 'both') {
    const crowded = points.length > 60 ? { fillOpacity: 0.45, r: 2.2 } : { r: 3.4 };
    // A cross has no inside to fill.
    const open = symbol === 'plus' || symbol === 'times';
    marks.push(Plot.dot(points, { ...at, symbol, ...(open ? { stroke: colour } : { fill: colour }), ...crowded }));
  }
  return marks;
}

/** Lines across the panel, each with its word: words of upright lines below one another, on the side with more room. */
function guideMarks(Plot: PlotLibrary, { guides = [], x, y }: Panel, [from, to]: readonly [number, number]): Mark[] {
  const line = { stroke: '#666', strokeWidth: 1, strokeDasharray: '2 3' };
  const word = { fill: '#444', fontSize: sizes.tick, stroke: 'white', strokeWidth: 3, paintOrder: 'stroke' };
  let upright = 0;
  return guides.flatMap(({ at, axis, text, word: where = 'above left' }) => {
    if (axis === 'y') {
      const place = placeOf(y, at);
      const left = where === 'above left';
      const [frameAnchor, textAnchor, dx] = left ? (['left', 'start', 4] as const) : (['right', 'end', -4] as const);
      const beside = { frameAnchor, textAnchor, dx, dy: where === 'below right' ? 9 : -7 };
      return [Plot.ruleY([place], line), Plot.text([text], { ...word, ...beside, y: [place] })];
    }
    const place = placeOf(x, at);
    const [textAnchor, dx] = place - from > 0.6 * (to - from) ? (['end', -4] as const) : (['start', 4] as const);
    const below = { frameAnchor: 'top', textAnchor, dx, dy: 7 + 14 * upright++ } as const;
    return [Plot.ruleX([place], line), Plot.text([text], { ...word, ...below, x: [place] })];
  });
}

/** The points of a series that have a place on both axes, and where; intervals end with the axis. */
function placed({ x, y }: Panel, series: Series, [low, high]: readonly [number, number]): Series {
  const inside = (value: number | undefined) =>
    value === undefined ? undefined : Math.min(high, hasPlace(y, value) ? Math.max(low, placeOf(y, value)) : low);
  const points = series.points
    .filter((point) => hasPlace(x, point.x) && hasPlace(y, point.y))
    .map((point) => {
      const [lower, upper] = [inside(point.lower), inside(point.upper)];
      const range = lower !== undefined && upper !== undefined ? { lower, upper } : {};
      return { x: placeOf(x, point.x), y: placeOf(y, point.y), ...range };
    });
  return { ...series, points };
}

/** The options of a panel's axes. */
function axes({ x, y, series }: Panel) {
  const points = series.flatMap(({ points }) => points.filter((point) => hasPlace(x, point.x) && hasPlace(y, point.y)));
  return {
    x: scaleOptions(
      x,
      points.map((point) => point.x),
    ),
    y: scaleOptions(
      y,
      points.flatMap((point) => [point.y, point.lower ?? point.y, point.upper ?? point.y]),
    ),
  };
}

/**
 * A chart as part of a picture: hundredths of pixels in its tags (the words between them stay), and without the style that
 * Plot adds for charts in a page, whose `height: auto` would stretch it.
 */
const embed = (svg: string): string =>
  svg.replace(/<style>[^<]*<\/style>/g, '').replace(/<[^>]*>/g, (tag) => tag.replace(/(\.\d\d)\d+/g, '$1'));

/** What the panels of a figure have in common. */
interface Style {
  readonly Plot: PlotLibrary;
  readonly document: object;
  readonly look: ReadonlyMap<string, Look>;
  readonly panelWidth: number;
}

/** The chart of a panel, without its title and legend. */
function drawPlot({ Plot, document, look, panelWidth }: Style, panel: Panel): string {
  const { x, y } = axes(panel);
  const longest = Math.max(40, ...(panel.y.categories ?? []).map((name) => textWidth(name, sizes.tick)));
  const svg = Plot.plot({
    document,
    width: panelWidth,
    height: plotHeight,
    marginLeft: longest + 16,
    marginRight: 18,
    marginTop: 28,
    marginBottom: 44,
    style: { fontSize: `${sizes.tick}px`, fontFamily: 'sans-serif', color: '#222' },
    x: { ...x, label: panel.x.label, labelAnchor: 'center', labelArrow: 'none', grid: true },
    y: { ...y, label: panel.y.label, labelAnchor: 'top', labelArrow: 'none', grid: !panel.y.categories },
    marks: [
      Plot.frame({ stroke: '#bbb' }),
      ...panel.series.flatMap((series) =>
        seriesMarks(Plot, placed(panel, series, y.domain), look.get(lookKey(series))!),
      ),
      ...guideMarks(Plot, panel, x.domain),
    ],
  } as Parameters<PlotLibrary['plot']>[0]);
  return embed(String(svg));
}

/** A panel's height, and its picture at a place. */
function layPanel(style: Style, panel: Panel, legendHeight: number) {
  const { look, panelWidth } = style;
  const chart = drawPlot(style, panel);
  const title = textLines(wrap(panel.title, sizes.panel, panelWidth, bold), {
    x: 0,
    y: 13,
    size: sizes.panel,
    weight: 'bold',
  });
  const titleHeight = lineHeight(sizes.panel) * wrap(panel.title, sizes.panel, panelWidth, bold).length + 4;
  const legend = drawLegend(panel.series, look, { y: titleHeight, width: panelWidth, size: sizes.text });
  return {
    height: titleHeight + legendHeight + plotHeight,
    body: (top: number) => `${title}${legend}<g transform="translate(0,${top - plotHeight})">${chart}</g>`,
  };
}

/**
 * The figure as SVG: every panel with its title, legend, axes and units, the caption below, on a white ground.
 * @returns an XML document
 */
export async function drawFigure(figure: Figure): Promise<string> {
  // Loaded when first drawn: they take longer to load than most commands take.
  const Plot = await import('@observablehq/plot');
  const { DOMParser } = await import('linkedom');
  const document = new DOMParser().parseFromString('<svg xmlns="http://www.w3.org/2000/svg"/>', 'image/svg+xml');
  const panelWidth = figure.panels.length > 1 ? panelWidths.shared : panelWidths.alone;
  const style = { Plot, document, look: looks(figure.panels), panelWidth };
  // Four make a square.
  const perRow = figure.panels.length === 4 ? 2 : mostInRow;
  const columns = Math.min(perRow, figure.panels.length);
  const width = 2 * margin + columns * panelWidth + (columns - 1) * gap;
  const inner = width - 2 * margin;
  const title = wrap(figure.title, sizes.title, inner, bold);
  let y = margin + lineHeight(sizes.title) * title.length + 8;
  const parts = [textLines(title, { x: margin, y: margin + 14, size: sizes.title, weight: 'bold' })];
  for (let first = 0; first < figure.panels.length; first += perRow) {
    const row = figure.panels.slice(first, first + perRow);
    const legendHeight = Math.max(...row.map(({ series }) => legendRows(series, panelWidth, sizes.text).height));
    const laid = row.map((panel) => layPanel(style, panel, legendHeight));
    const height = Math.max(...laid.map((panel) => panel.height));
    for (const [column, panel] of laid.entries()) {
      parts.push(`<g transform="translate(${margin + column * (panelWidth + gap)},${y})">${panel.body(height)}</g>`);
    }
    y += height + 12;
  }
  const caption = wrap(figure.caption, sizes.text, inner);
  parts.push(textLines(caption, { x: margin, y: y + sizes.text, size: sizes.text, fill: '#444' }));
  const height = Math.ceil(y + lineHeight(sizes.text) * caption.length + margin);
  const head = `xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  return [
    `<svg ${head} font-family="sans-serif" role="img">`,
    `<title>${escapeXml(figure.title)}</title><desc>${escapeXml(figure.caption)}</desc>`,
    '<rect width="100%" height="100%" fill="white"/>',
    ...parts,
    '</svg>\n',
  ].join('\n');
}
