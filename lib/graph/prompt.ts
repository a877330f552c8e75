/** Prompts as tokens: `u v | u v | ... / s t =`. */

import { rangeError, shapeError } from '../errors.ts';
import { PhiloxStream } from '../estimate/index.ts';
import { checkNumberList, type NumberList } from '../validate.ts';
import { type Graphs, orderStream } from './draw.ts';
import type { Settings } from './settings.ts';

/** A layered graph: every passable node has edges to all nodes of the next layer, other nodes have none. */
export interface Graph {
  /** [layers + 2]: the ids of each layer, ascending; [s] is the first, [t] the last. */
  readonly layers: readonly (readonly number[])[];
  /** [layers + 1]: those with outgoing edges, of each layer but the last. */
  readonly passable: readonly (readonly number[])[];
}

export function graphOf({ settings, nodes, open }: Graphs, prompt: number): Graph {
  const { starts, size, length } = settings;
  const first = prompt * size;
  const layers = Array.from({ length }, (_, h) => [...nodes.subarray(first + starts[h]!, first + starts[h + 1]!)]);
  const passable = layers.slice(0, -1).map((layer, h) => layer.filter((_, j) => open[first + starts[h]! + j] === 1));
  return { layers, passable };
}

/** The tokens after the ids. */
export const specialTokens = (ids: number) => ({ bar: ids, slash: ids + 1, equals: ids + 2 });

/** The edges, each as u * 2^16 + v: ids are below 2^16. */
function packedEdges({ settings, nodes, open }: Graphs, prompt: number): Uint32Array {
  const { layers, width, size, starts } = settings;
  const first = prompt * size;
  // At most two passable nodes a layer.
  const edges = new Uint32Array(2 * (layers + 1) * width);
  let count = 0;
  for (let h = 0; h <= layers; h++) {
    for (let i = first + starts[h]!; i < first + starts[h + 1]!; i++) {
      if (open[i] === 0) continue;
      for (let j = first + starts[h + 1]!; j < first + starts[h + 2]!; j++) {
        edges[count++] = nodes[i]! * 2 ** 16 + nodes[j]!;
      }
    }
  }
  return edges.subarray(0, count);
}

export function encodePrompt(graphs: Graphs, prompt: number): Int32Array {
  const { ids, seed, size } = graphs.settings;
  const edges = packedEdges(graphs, prompt);
  const stream = new PhiloxStream(seed, prompt, orderStream);
  for (let i = edges.length - 1; i > 0; i--) {
    const j = stream.below(i + 1);
    const edge = edges[i]!;
    edges[i] = edges[j]!;
    edges[j] = edge;
  }
  const { bar, slash, equals } = specialTokens(ids);
  const tokens = new Int32Array(3 * edges.length + 3);
  for (let i = 0; i < edges.length; i++) {
    tokens[3 * i] = edges[i]! >>> 16;
    tokens[3 * i + 1] = edges[i]! & 0xffff;
    tokens[3 * i + 2] = bar;
  }
  const { nodes } = graphs;
  tokens.set([slash, nodes[prompt * size]!, nodes[(prompt + 1) * size - 1]!, equals], 3 * edges.length - 1);
  return tokens;
}

/** The heads of the edges of each tail. */
type Edges = Map<number, number[]>;

function readEdges(tokens: NumberList, ids: number) {
  const { bar, slash, equals } = specialTokens(ids);
  const { length } = tokens;
  if (length < 6 || length % 3 !== 0)
    throw shapeError('3 for each edge and 3 more', 'the number of tokens', `${length}`);
  const node = (i: number): number => {
    const id = tokens[i]!;
    if (!(Number.isInteger(id) && id >= 0 && id < ids)) throw rangeError(`a node in [0, ${ids})`, `tokens[${i}]`, id);
    return id;
  };
  const expect = (i: number, token: number, text: string) => {
    if (tokens[i] !== token) throw rangeError(`${token} (${text})`, `tokens[${i}]`, tokens[i]);
  };
  const edges: Edges = new Map();
  for (let i = 0; i < length - 3; i += 3) {
    const [u, v] = [node(i), node(i + 1)];
    const heads = edges.get(u);
    if (heads?.includes(v)) throw rangeError('an edge that did not come before', `tokens[${i}]`, `${u} ${v}`);
    if (heads) heads.push(v);
    else edges.set(u, [v]);
    if (i < length - 6) expect(i + 2, bar, '|');
    else expect(i + 2, slash, '/');
  }
  expect(length - 1, equals, '=');
  return { edges, source: node(length - 3), target: node(length - 2) };
}

/** Layer after layer from s. What is not a graph of the task is refused. */
export function decodePrompt(tokens: NumberList, { ids, layers: between, width }: Settings): Graph {
  const { edges, source, target } = readEdges(checkNumberList(tokens, 'tokens'), ids);
  const refuse = (what: string, received: string) => rangeError(what, 'the graph', received, received);
  const layers = [[source]];
  const passable: number[][] = [];
  for (let h = 0; h <= between; h++) {
    const open = layers[h]!.filter((u) => edges.has(u));
    const fork = open.length === 2 && (open[0]! + open[1]!) % 2 === 1;
    if (open.length !== 1 && !fork) {
      throw refuse('one passable node, or an even and an odd one, in each layer', `[${open}] in layer ${h}`);
    }
    const [heads, ...others] = open.map((u) => [...edges.get(u)!].sort((a, b) => a - b));
    if (others.some((list) => String(list) !== String(heads))) {
      throw refuse('the same edges from all passable nodes of a layer', `others in layer ${h}`);
    }
    const expected = h < between ? width : 1;
    if (heads!.length !== expected) {
      throw refuse(`layers of ${width} nodes between s and t`, `${heads!.length} in layer ${h + 1}`);
    }
    passable.push(open);
    layers.push(heads!);
  }
  const nodes = layers.flat();
  if (new Set(nodes).size < nodes.length) throw refuse('each node in one layer', 'one in several');
  if (layers.at(-1)![0] !== target) throw refuse(`t, ${target}, after ${between} layers`, `${layers.at(-1)![0]}`);
  if (edges.size > passable.flat().length) throw refuse('edges along paths from s to t', 'others');
  return { layers, passable };
}
