/** Figures: what they show as plain data, and their picture. */

export { drawFigure } from './draw.ts';
export type { Axis, Figure, Guide, Panel, Point, Series } from './figure.ts';
