/** How loose the conversions between divergences, coverage and regret are (App. D). */

import { setImmediate } from 'node:timers/promises';
import { experiment, type Setup } from '../experiment.ts';
import type { Figure } from '../figure/index.ts';
import { median } from '../statistics.ts';
import { type Comparison, compare, conversions, draws, looseness, N, nothing } from './bounds.ts';
import { drawInstance, families, nearlyTight } from './instances.ts';

const defaults = {
  instances: { what: 'instances of each kind', default: 40, min: 2, max: 10_000 },
};

interface Row {
  readonly family: string;
  readonly instance: number;
  readonly comparisons: readonly Comparison[];
}

/** What each conversion comes to over all instances. */
function summarise(rows: readonly Row[]) {
  return conversions.map(({ id, text }) => {
    const all = rows.map((row) => row.comparisons.find((comparison) => comparison.id === id)!);
    const factors = all.map(looseness).filter((factor) => factor !== undefined);
    return {
      id,
      text,
      least: Math.min(...factors),
      median: median(factors),
      most: Math.max(...factors),
      /** Bounds on probabilities that are 1, or 0 from below. */
      silent: all.filter(({ upper, bound }) => (upper ? id !== 'D.3' && bound >= 1 : bound < nothing)).length,
      none: all.filter(({ value }) => value < nothing).length,
      broken: all.filter(({ upper, bound, value }) => (upper ? bound < value - 1e-12 : bound > value + 1e-12)).length,
      instances: all.length,
    };
  });
}

function draw(rows: readonly Row[]): Figure {
  const names = [...new Set(rows.map(({ family }) => family))];
  const series = names.map((family, k) => ({
    name: family,
    style: 'dots' as const,
    points: rows
      .filter((row) => row.family === family)
      .flatMap(({ comparisons, instance }) =>
        comparisons.map((comparison, place) => ({
          x: looseness(comparison) ?? Number.NaN,
          // Kinds below one another, instances spread a little.
          y: conversions.length - 1 - place + 0.3 - 0.2 * k + 0.012 * ((instance % 9) - 4),
        })),
      ),
  }));
  return {
    title: 'How loose the conversions of App. D are',
    caption:
      `Each dot is one pair of pi_D and a model, small enough to list all responses: the bound divided by the true value (the ` +
      `other way round for bounds from below), at N = ${N} and for Best-of-${draws}. 1 is tight. Bounds above 1 count as 1; where ` +
      "a bound says nothing (0 from below) or nothing is to be bounded there is no dot. Prop D.2's coin shows that D.1 cannot be much better.",
    panels: [
      {
        title: 'Bound / true value',
        x: { label: 'times too large (1 = tight)', scale: 'log' },
        y: { label: 'conversion', categories: conversions.map(({ text }) => text).reverse() },
        series,
        guides: [{ axis: 'x', at: 1, text: '' }],
      },
    ],
  };
}

async function work({ settings, seed, job, onProgress }: Setup<typeof defaults>) {
  const rows: Row[] = [];
  const total = families.length * settings.instances;
  for (let i = 0; i < total; i++) {
    const [family, instance] = [Math.floor(i / settings.instances), i % settings.instances];
    const drawn = drawInstance(family, instance, seed);
    rows.push({ family: drawn.family, instance, comparisons: compare(drawn) });
    onProgress((i + 1) / total);
    await setImmediate();
    job.signal?.throwIfAborted();
  }
  const coin = nearlyTight(0.01, N);
  const tight = compare(coin);
  const summary = summarise(rows);
  const kl = summary[0]!;
  return {
    values: { N, draws, summary, rows, tight },
    tables: [
      {
        title: `Bound / true value at N = ${N}, Best-of-${draws}, over ${total} instances`,
        columns: [
          { name: 'conversion' },
          { name: 'least', decimals: 2 },
          { name: 'median', decimals: 2 },
          { name: 'most', decimals: 2 },
          { name: 'says nothing' },
          { name: 'nothing to bound' },
        ],
        rows: summary.map(({ text, least, median, most, silent, none }) => [text, least, median, most, silent, none]),
      },
    ],
    findings: [
      `Broken bounds: ${summary.reduce((sum, { broken }) => sum + broken, 0)} of ${rows.length * conversions.length}.`,
      `The bound from KL is ${kl.median.toFixed(1)} times too large in the middle, and ${looseness(tight[0]!)!.toFixed(2)} times for Prop D.2's coin.`,
    ],
    figure: draw([...rows, { family: coin.family, instance: 4, comparisons: tight.slice(0, 1) }]),
  };
}

/** Prop D.1 to D.11 on random instances. */
export const convert = experiment({
  name: 'convert',
  summary:
    'How loose each conversion between KL, Hellinger distance, coverage and regret is on instances known exactly.',
  settings: defaults,
  work,
});
