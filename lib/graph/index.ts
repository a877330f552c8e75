/** The graph reasoning task of the paper's experiments. */

export type { Graph } from './prompt.ts';
export type { GraphTaskOptions } from './settings.ts';
export { type GraphTask, graphTask } from './task.ts';
