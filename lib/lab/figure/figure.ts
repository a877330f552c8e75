/** What a figure shows, as plain data: panels side by side, curves in them, and words for all of it. */

export interface Axis {
  /** With its unit. */
  readonly label: string;
  /** Default 'linear'. Points at 0 and below have no place on a logarithmic axis and are left out. */
  readonly scale?: 'linear' | 'log';
  /** Of a logarithmic axis: ticks at its powers. Default 10. */
  readonly base?: 2 | 10;
  /** Default: what the points need. */
  readonly domain?: readonly [number, number];
  /** Names of the places 0, 1, ... in place of numbers. */
  readonly categories?: readonly string[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
  /** Ends of an interval around y. */
  readonly lower?: number;
  readonly upper?: number;
}

/** A curve or a cloud of points. */
export interface Series {
  /** In the legend. */
  readonly name: string;
  /** Series of one such quantity have one colour and symbol in all panels. Default: the name. */
  readonly of?: string;
  /** 'both' are dots joined by a line; 'dashed' is for theory. */
  readonly style: 'line' | 'dots' | 'both' | 'dashed' | 'steps';
  readonly points: readonly Point[];
}

/** A straight line across the panel, with a word. */
export interface Guide {
  readonly at: number;
  readonly axis: 'x' | 'y';
  readonly text: string;
  /** Of a level line: where its word is. Default 'above left'. */
  readonly word?: 'above left' | 'above right' | 'below right';
}

export interface Panel {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  readonly guides?: readonly Guide[];
}

export interface Figure {
  readonly title: string;
  /** What a newcomer needs to read the picture. */
  readonly caption: string;
  readonly panels: readonly Panel[];
}
