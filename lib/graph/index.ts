/** The graph reasoning task of the paper's experiments. */

export type { FeatureOptions, FeatureScales, GraphFeatures } from './features.ts';
export type { Candidates } from './machine.ts';
export type { Graph } from './prompt.ts';
export type { GraphTaskOptions } from './settings.ts';
export { type GraphTask, graphTask } from './task.ts';
