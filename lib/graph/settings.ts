/** What a graph task is made of. */

import { rangeError, typeError } from '../errors.ts';
import { checkInteger, checkKnownKeys, checkNumber, checkNumberList, checkObject } from '../validate.ts';

/** Which graphs to draw. Defaults are those of the paper's experiments (App. C). */
export interface GraphTaskOptions {
  /** The experiment of Figure 1 (classes G1, G2, G3) or of Figure 2 (classes 1, 2, 3). */
  readonly figure: 1 | 2;
  /** Number of prompts, in [1, 2^20]. The first of many are those of few. */
  readonly prompts: number;
  /** Whole number in [0, 2^53). Default 0. */
  readonly seed?: number;
  /** Layers between s and t, in [1, 256]. Default 8. */
  readonly layers?: number;
  /** Nodes in each of them, in [2, 64]. Default 4. */
  readonly width?: number;
  /**
   * Layers with two passable nodes. Figure 1: of each graph, default 2. Figure 2: of those of classes 2 and 3, default
   * [layers / 2, 4]. At most `layers`, and 10 where the path is uniform (G3 and class 3).
   */
  readonly forks?: number | readonly [number, number];
  /** Weights of the three classes, in any unit. Default 0.9, 0.1, 0 (Figure 1) and 0.94, 0.05, 0.01 (Figure 2). */
  readonly classes?: readonly [number, number, number];
  /**
   * Number of node ids, m, more than a graph has nodes and up to 65536. Default 128, or the least power of two that is
   * enough.
   */
  readonly ids?: number;
}

export interface Settings {
  readonly figure: 1 | 2;
  readonly prompts: number;
  readonly seed: number;
  readonly layers: number;
  readonly width: number;
  readonly ids: number;
  /** By class. */
  readonly forks: readonly number[];
  /** By class; they sum to 1. */
  readonly weights: readonly number[];
  /** Nodes of a graph. */
  readonly size: number;
  /** Tokens of a path: layers + 2. */
  readonly length: number;
  /** [length + 1]: layer h consists of the nodes starts[h] .. starts[h + 1] of a graph. */
  readonly starts: Int32Array;
}

const keys = ['figure', 'prompts', 'seed', 'layers', 'width', 'forks', 'classes', 'ids'];
/** 2^10 paths to list for each prompt. */
const mostUniformForks = 10;

function checkForks(forks: GraphTaskOptions['forks'], figure: 1 | 2, layers: number): number[] {
  const few = Math.min(layers, mostUniformForks);
  if (figure === 1) {
    const each = checkInteger(forks ?? Math.min(2, layers), 'forks', 0, few);
    return [each, each, each];
  }
  const [second, third] = checkNumberList(forks ?? [layers >> 1, Math.min(4, layers)], 'forks', 2) as [number, number];
  return [0, checkInteger(second, 'forks[0]', 0, layers), checkInteger(third, 'forks[1]', 0, few)];
}

function checkClasses(classes: GraphTaskOptions['classes'], figure: 1 | 2): number[] {
  const given = checkNumberList(classes ?? (figure === 1 ? [0.9, 0.1, 0] : [0.94, 0.05, 0.01]), 'classes', 3);
  const weights = Array.from({ length: 3 }, (_, i) => checkNumber(given[i], `classes[${i}]`, 0));
  const total = weights.reduce((sum, weight) => sum + weight);
  if (!(total > 0 && Number.isFinite(total))) throw rangeError('a positive sum', 'classes', total);
  return weights.map((weight) => weight / total);
}

export function checkSettings(options: GraphTaskOptions): Settings {
  checkObject(options, 'the options');
  checkKnownKeys(options, keys, 'the options');
  const { figure } = options;
  if (figure !== 1 && figure !== 2) throw typeError('1 or 2', 'figure', figure);
  const layers = checkInteger(options.layers ?? 8, 'layers', 1, 256);
  const width = checkInteger(options.width ?? 4, 'width', 2, 64);
  const size = layers * width + 2;
  const enough = Math.max(128, 2 ** Math.ceil(Math.log2(size + 1)));
  return {
    figure,
    prompts: checkInteger(options.prompts, 'prompts', 1, 2 ** 20),
    seed: checkInteger(options.seed ?? 0, 'seed', 0),
    layers,
    width,
    // One more than are used: with all in use the sums below would have one parity alone.
    ids: checkInteger(options.ids ?? enough, 'ids', size + 1, 65536),
    forks: checkForks(options.forks, figure, layers),
    weights: checkClasses(options.classes, figure),
    size,
    length: layers + 2,
    starts: Int32Array.from({ length: layers + 3 }, (_, h) =>
      h === 0 ? 0 : h === layers + 2 ? size : 1 + (h - 1) * width,
    ),
  };
}
