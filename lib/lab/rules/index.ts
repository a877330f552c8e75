/** Which learning rules depend on the length of responses (section 2, Lemmas I.6 and I.7). */

import { experiment, type Setup, type Table } from '../experiment.ts';
import type { Panel, Series } from '../figure/index.ts';
import { type ArenaName, type Averaged, averaged, averagesOf } from './averages.ts';
import { type Name, names, runSeparation } from './separation.ts';
import { defaults, lengthsUpTo, type Settings } from './settings.ts';

type Averages = Awaited<ReturnType<typeof averagesOf>>;
type Separation = Awaited<ReturnType<typeof runSeparation>>;

/** Quantities of the figure: rules share a colour over its panels. */
const kinds: Readonly<Record<Name | Averaged, string>> = {
  sgd: 'SGD',
  averaged: 'averaged',
  normalized: 'normalised',
  normalized1: 'normalised',
  normalized8: 'normalised 8',
  normalized32: 'normalised 32',
  truncated: 'truncated',
  token: 'token',
  mle: 'MLE',
};

const titles: Readonly<Record<ArenaName, string>> = {
  large: 'Instance 4.3: SGD steps too far',
  small: 'Instance 4.4: SGD steps too short',
  benign: 'A harmless instance: one token in doubt',
};

function separationPanel({ rows }: Separation): Panel {
  const shown = (Object.keys(names) as Name[]).filter((name) => name !== 'normalized8');
  return {
    title: 'Both at once: steps until Cov_16 is at most 0.05',
    x: { label: 'tokens a response, H', scale: 'log', base: 2 },
    y: { label: 'steps (median over data sets)', scale: 'log', domain: [1, 3000] },
    series: shown.map((name) => ({
      name: names[name],
      of: kinds[name],
      style: name === 'averaged' ? 'dashed' : 'both',
      points: rows.map(({ H, medians }) => ({ x: H, y: medians[name] })),
    })),
  };
}

function averagePanel(name: ArenaName, rows: readonly Averages[]): Panel {
  const series: Series[] = (Object.keys(averaged) as Averaged[]).map((rule) => ({
    name: averaged[rule],
    of: kinds[rule],
    style: 'both',
    points: rows.map(({ H, means }) => ({ x: H, y: Math.max(means[rule], 1e-5) })),
  }));
  const bound = rows.map(({ H, least }) => ({ x: H, y: least }));
  return {
    title: titles[name],
    x: { label: 'tokens a response, H', scale: 'log', base: 2 },
    y: { label: 'mean Cov_N of the iterates (probability)', scale: 'log', domain: [1e-5, 2] },
    series: name === 'benign' ? series : [...series, { name: 'lower bound for SGD', style: 'dashed', points: bound }],
  };
}

function separationTables({ rows, exponents }: Separation): Table[] {
  const all = Object.keys(names) as Name[];
  const header = [{ name: 'rule' }, ...rows.map(({ H }) => ({ name: `H = ${H}` }))];
  return [
    {
      title: 'Steps until Cov_16 is at most 0.05, medians',
      columns: [...header, { name: 'exponent of H', decimals: 2 }, { name: 'last / first', decimals: 2 }],
      rows: all.map((name) => [
        ...[names[name], ...rows.map(({ medians }) => medians[name])],
        ...[exponents[name], rows.at(-1)!.medians[name] / Math.max(1, rows[0]!.medians[name])],
      ]),
    },
    {
      title: "What the theorems' step sizes cost (mean gradients followed as a flow)",
      columns: [...header],
      rows: [
        ...(['sgd', 'normalized', 'token', 'truncated'] as const).map((rule) => [
          `${averaged[rule].replace(', K = 1', ', large K')}, steps`,
          ...rows.map(({ theory }) => Math.round(theory[rule])),
        ]),
        ['sigma*^2', ...rows.map(({ theory }) => Math.round(10 * theory.variance) / 10)],
      ],
    },
  ];
}

const averageTable = (name: ArenaName, T: number, rows: readonly Averages[]): Table => ({
  title: `${titles[name]}: mean Cov_N over ${T} iterates`,
  columns: [{ name: 'rule' }, ...rows.map(({ H }) => ({ name: `H = ${H}`, decimals: 4 }))],
  rows: [
    ...(Object.keys(averaged) as Averaged[]).map((rule) => [averaged[rule], ...rows.map(({ means }) => means[rule])]),
    ...(name === 'benign'
      ? []
      : [
          ['SGD, least over iterates and runs', ...rows.map(({ sgd }) => Math.min(...sgd.least))],
          ['lower bound for SGD', ...rows.map(({ least }) => least)],
          ['SGD, parameters averaged', ...rows.map(({ sgd }) => sgd.averaged)],
        ]),
  ],
});

async function work(setup: Setup<Settings>) {
  const { steps, seeds, largest } = setup.settings;
  const lengths = lengthsUpTo(largest);
  const arena = async (name: ArenaName, from: number) => {
    const rows: Averages[] = [];
    for (const H of lengths) {
      rows.push(await averagesOf(name, H, setup));
      setup.onProgress(from + (0.05 * rows.length) / lengths.length);
    }
    return rows;
  };
  const [large, small, benign] = [await arena('large', 0), await arena('small', 0.05), await arena('benign', 0.1)];
  const separated = await runSeparation(lengths, setup, (fraction) => setup.onProgress(0.15 + 0.85 * fraction));
  const { rows, exponents } = separated;
  const ratio = (name: Name) => rows.at(-1)!.medians[name] / Math.max(1, rows[0]!.medians[name]);
  const flat = (['normalized1', 'normalized8', 'normalized32', 'truncated', 'token', 'mle'] as const).map(
    (name) => exponents[name],
  );
  return {
    values: { lengths, large, small, benign, separation: separated },
    tables: [
      ...separationTables(separated),
      averageTable('large', steps, large),
      averageTable('small', steps, small),
      averageTable('benign', steps, benign),
    ],
    findings: [
      `SGD with the best constant step at each H needs H^${exponents.sgd.toFixed(2)} steps (${ratio('sgd').toFixed(0)} times as many at ` +
        `H = ${lengths.at(-1)} as at 16); the others H^${Math.min(...flat).toFixed(2)} to H^${Math.max(...flat).toFixed(2)}.`,
      `Instance 4.3: coordinate 2 of SGD changed its sign at ${large.map(({ sgd }) => sgd.flips).join(', ')} of ${steps - 1} steps.`,
      'The theorem is about the mean of Cov_N over iterates: the mean of the parameters covers what the iterates do not.',
    ],
    figure: {
      title: 'Which learning rules depend on the length of responses',
      caption:
        'Top left: an instance on which any constant step of SGD is too large for one prompt or too small for the others as H grows, while ' +
        `sigma*^2 stays near 34; every other rule has one step size for all H. Medians of ${seeds} data sets, SGD with the best step of a grid at ` +
        'each H; dashed, the parameters of SGD averaged. The others: mean coverage over the iterates of a run of ' +
        `${steps} steps, with the lower bounds of Lemmas I.6 and I.7. Coverage is exact, but for test-time training (TTT; ${setup.settings.responses} ` +
        'responses to each prompt); what is below 1e-5 is drawn there.',
      panels: [
        separationPanel(separated),
        averagePanel('large', large),
        averagePanel('small', small),
        averagePanel('benign', benign),
      ],
    },
  };
}

/** Instances 4.3 and 4.4, a harmless one, and both dangers at once. */
export const rules = experiment({
  name: 'rules',
  summary: 'SGD needs more steps the longer responses are; normalised, truncated and token-level SGD and MLE do not.',
  settings: defaults,
  work,
});
