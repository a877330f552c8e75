/** Experiments that reproduce what the paper proves and measures. */

import { convert } from './convert/index.ts';
import type { Experiment } from './experiment.ts';
import { fig1 } from './fig1.ts';
import { fig2 } from './fig2.ts';
import { missingMass } from './missing-mass.ts';
import { misspecified } from './misspecified.ts';
import { rules } from './rules/index.ts';
import { scaling } from './scaling.ts';

export type { Column, Experiment, Outcome, RunOptions, Setting, Table } from './experiment.ts';
export { drawFigure, type Figure } from './figure/index.ts';
export { convert, fig1, fig2, missingMass, misspecified, rules, scaling };

/** In the order in which they are best read. */
export const experiments = [
  fig1,
  fig2,
  rules,
  missingMass,
  misspecified,
  scaling,
  convert,
] as unknown as readonly Experiment[];
