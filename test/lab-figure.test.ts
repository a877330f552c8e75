/** Pictures of the lab: what is drawn, and where. */

import { describe, expect, test } from 'vitest';
import { domainOf, scaleOptions, tickText } from '../lib/lab/figure/axis.ts';
import { drawFigure, type Figure } from '../lib/lab/figure/index.ts';
import { wrap } from '../lib/lab/figure/words.ts';
import { expectWellFormed } from './support/xml.ts';

const points = [
  { x: 1, y: 0.001, lower: 0, upper: 0.002 },
  { x: 10, y: 0.01 },
  { x: 100, y: 0 },
  { x: 1000, y: Number.POSITIVE_INFINITY },
];

const figure: Figure = {
  title: 'Cov_N < KL & "friends"',
  caption: 'A caption that is long enough to be broken into several lines, since nobody reads one line of 900 pixels.',
  panels: [
    {
      title: 'logarithmic',
      x: { label: 'N', scale: 'log' },
      y: { label: 'Cov_N (probability)', scale: 'log' },
      series: (['line', 'dots', 'both', 'dashed', 'steps'] as const).map((style) => ({
        name: `as ${style}`,
        style,
        points,
      })),
      guides: [
        { axis: 'y', at: 0.005, text: 'a level' },
        { axis: 'x', at: 20, text: 'a place' },
      ],
    },
    {
      title: 'names',
      x: { label: 'factor' },
      y: { label: 'bound', categories: ['first & last', 'second'] },
      series: [{ name: 'as dots', style: 'dots', points: [{ x: 2, y: 1 }] }],
    },
  ],
};

/** Texts of an SVG, in order. */
const texts = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);

describe('drawFigure', () => {
  test('is XML with title, caption, axes, legend and guides as text', async () => {
    const svg = await drawFigure(figure);
    expectWellFormed(svg);
    const words = texts(svg);
    for (const word of [
      'Cov_N &lt; KL &amp; &quot;friends&quot;',
      'logarithmic',
      'N',
      'Cov_N (probability)',
      'factor',
    ]) {
      expect(words).toContain(word);
    }
    for (const word of ['as line', 'as dashed', 'a level', 'a place', 'first &amp; last', 'second'])
      expect(words).toContain(word);
    expect(words.join(' ')).toContain(figure.caption.split(',')[0]!);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    // No script, no style sheet, nothing from elsewhere.
    expect(svg).not.toMatch(/<script|<style|<image|href=|url\(|https?:(?!\/\/www\.w3\.org\/2000\/svg")/);
    expect(await drawFigure(figure)).toBe(svg);
  });

  test('points without a place on a logarithmic axis are left out', async () => {
    const dots = { name: 'dots', style: 'dots' as const, points: points.map(({ x, y }) => ({ x, y })) };
    const svg = await drawFigure({ ...figure, panels: [{ ...figure.panels[0]!, series: [dots], guides: [] }] });
    const drawn = /aria-label="dot"[^>]*>(.*?)<\/g>/s.exec(svg)![1]!;
    // As circles or as paths.
    expect(drawn.match(/<(circle|path)/g)).toHaveLength(2);
  });

  test('a series of one quantity has one colour', async () => {
    const series = ['exact', 'measured'].map((name) => ({
      name,
      of: 'KL',
      style: 'line' as const,
      points: [{ x: 1, y: 1 }],
    }));
    const svg = await drawFigure({ ...figure, panels: [{ ...figure.panels[1]!, series }] });
    expect(
      new Set([...svg.matchAll(/<line[^>]*stroke="(#\w+)"[^>]*stroke-width="1.8"/g)].map(([, colour]) => colour)).size,
    ).toBe(1);
  });
});

describe('axes', () => {
  test('have ticks at powers, or between where there are few', () => {
    const ticks = (domain: [number, number], base?: 2 | 10) => {
      const options = scaleOptions({ label: '', scale: 'log', domain, ...(base && { base }) }, []);
      return (options.ticks as number[]).map((place) => options.tickFormat(place));
    };
    expect(ticks([1e-5, 1])).toEqual(['1e-5', '1e-4', '0.001', '0.01', '0.1', '1']);
    expect(ticks([0.8, 12])).toEqual(['1', '2', '5', '10']);
    expect(ticks([14, 1100], 2)).toEqual(['16', '32', '64', '128', '256', '512', '1024']);
    expect(ticks([1, 2 ** 40], 2).length).toBeLessThanOrEqual(9);
    expect(ticks([1, 1e30]).length).toBeLessThanOrEqual(9);
  });

  test('reach all points, from 0 where these come near it', () => {
    expect(domainOf({ label: '' }, [1, 10])).toEqual([0, 10.36]);
    expect(domainOf({ label: '' }, [9, 10])[0]).toBeCloseTo(8.96, 12);
    expect(domainOf({ label: '', scale: 'log' }, [0, 2, 8])).toEqual([2 / 1.15, 8 * 1.15]);
    expect(domainOf({ label: '' }, [])).toEqual([0, 1]);
    expect([0, 1e-3, 1e-4, 0.1 + 0.2, 1e5, 12345].map(tickText)).toEqual(['0', '0.001', '1e-4', '0.3', '1e5', '12345']);
  });

  test('lines of text hold all words', () => {
    expect(wrap('a bb ccc dddd', 10, 30)).toEqual(['a bb', 'ccc', 'dddd']);
    expect(wrap('immeasurable', 10, 5)).toEqual(['immeasurable']);
  });
});
