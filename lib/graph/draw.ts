/** Graphs drawn at random. */

import { PhiloxStream } from '../estimate/index.ts';
import type { Settings } from './settings.ts';

/** The graphs of all prompts. */
export interface Graphs {
  readonly settings: Settings;
  /** [prompts, size]: ids, layer after layer, ascending within each; s is the first, t the last. */
  readonly nodes: Int32Array;
  /** [prompts, size]: 1 where a path may pass: nodes with outgoing edges, and t. */
  readonly open: Uint8Array;
  /** [prompts]: 1, 2 or 3. */
  readonly classOf: Uint8Array;
  /** [prompts]: p(v) XOR p(i) of the node v that is right at fork i; -1 where both are. */
  readonly rule: Int8Array;
}

/** Philox streams of their own: 4 and 5 draw rollouts. */
const graphStream = 16;
export const orderStream = 17;

/** Ids drawn without replacement. */
class Ids {
  readonly #taken: Int32Array;
  readonly #count: number;
  #round = 0;

  constructor(count: number) {
    this.#count = count;
    this.#taken = new Int32Array(count);
  }

  /** All can be drawn again. */
  restore(): void {
    this.#round++;
  }

  /** One of first, first + step, ... */
  draw(stream: PhiloxStream, first = 0, step = 1): number {
    const among = Math.ceil((this.#count - first) / step);
    for (;;) {
      const id = first + step * stream.below(among);
      if (this.#taken[id] === this.#round) continue;
      this.#taken[id] = this.#round;
      return id;
    }
  }
}

/**
 * One graph, its nodes as 2 id + open, uniform among those with so many forks: the nodes of forks come first, as they are
 * the ones that are not free.
 */
function drawGraph(stream: PhiloxStream, ids: Ids, forks: number, settings: Settings, row: Int32Array): void {
  const { layers, starts, size } = settings;
  ids.restore();
  row.fill(-1);
  let left = forks;
  for (let h = 1; h <= layers && left > 0; h++) {
    if (stream.below(layers - h + 1) >= left) continue;
    left--;
    row[starts[h]!] = 2 * ids.draw(stream, 0, 2) + 1;
    row[starts[h]! + 1] = 2 * ids.draw(stream, 1, 2) + 1;
  }
  for (let h = 0; h < layers + 2; h++) {
    const first = starts[h]!;
    for (let j = first; j < starts[h + 1]!; j++) {
      if (row[j]! < 0) row[j] = 2 * ids.draw(stream) + (j === first ? 1 : 0);
    }
    if (h > 0 && first + 1 < size) row.subarray(first, starts[h + 1]).sort();
  }
}

/** Figure 1: the parity of the sum of the nodes below ids / 2, a fixed half of them. */
export function halfParity(nodes: Iterable<number>, ids: number): number {
  let odd = 0;
  for (const node of nodes) if (node < ids >> 1) odd ^= node & 1;
  return odd;
}

/** Figure 2: the parity of the sum of all passable nodes. */
export function sumParity(passable: Iterable<number>): number {
  let odd = 0;
  for (const node of passable) odd ^= node & 1;
  return odd;
}

function drawClass(stream: PhiloxStream, weights: readonly number[]): number {
  const u = stream.uniform();
  let sum = 0;
  for (const [i, weight] of weights.entries()) {
    sum += weight;
    if (u < sum) return i + 1;
  }
  // Weights whose sum was rounded below 1.
  return weights.findLastIndex((weight) => weight > 0) + 1;
}

/** Graph i depends on the seed, i and what a graph is made of alone. */
export function drawGraphs(settings: Settings): Graphs {
  const { figure, prompts, seed, ids, forks, weights, size } = settings;
  const nodes = new Int32Array(prompts * size);
  const open = new Uint8Array(prompts * size);
  const classOf = new Uint8Array(prompts);
  const rule = new Int8Array(prompts);
  const unused = new Ids(ids);
  for (let prompt = 0; prompt < prompts; prompt++) {
    const stream = new PhiloxStream(seed, prompt, graphStream);
    const drawn = drawClass(stream, weights);
    const row = nodes.subarray(prompt * size, (prompt + 1) * size);
    const passes = open.subarray(prompt * size, (prompt + 1) * size);
    do {
      drawGraph(stream, unused, forks[drawn - 1]!, settings, row);
      for (let j = 0; j < size; j++) {
        passes[j] = row[j]! & 1;
        row[j]! >>= 1;
      }
      // The sum is 1 in G1 and 0 in G2: uniform among the graphs where it is.
    } while (figure === 1 && drawn < 3 && halfParity(row, ids) !== 2 - drawn);
    classOf[prompt] = drawn;
    if (drawn === 3) rule[prompt] = -1;
    else rule[prompt] = figure === 1 ? drawn - 1 : sumParity(row.subarray(0, -1).filter((_, j) => passes[j] === 1));
  }
  return { settings, nodes, open, classOf, rule };
}
