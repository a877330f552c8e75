/** Experiments that reproduce what the paper proves and measures. */

import { convert } from './convert/index.ts';
import type { Experiment } from './experiment.ts';
import { missingMass } from './missing-mass.ts';
import { misspecified } from './misspecified.ts';

export type { Column, Experiment, Outcome, RunOptions, Setting, Table } from './experiment.ts';
export { drawFigure, type Figure } from './figure/index.ts';
export { convert, missingMass, misspecified };

/** In the order in which they are best read. */
export const experiments = [missingMass, misspecified, convert] as unknown as readonly Experiment[];
