/** The graphs as one sparse machine: its states are places on the way, its entries the tokens that may follow. */

import { rangeError } from '../errors.ts';
import type { TabularInput } from '../model/index.ts';
import type { Graphs } from './draw.ts';

/**
 * The tokens among which a model chooses: all nodes of the graph, those of the next layer, or its passable ones alone, so
 * that every path is valid.
 */
export type Candidates = 'graph' | 'layer' | 'passable';

export interface MachineShape {
  readonly candidates: Candidates;
  /** Whether states tell the class of the choice at the fork before: two or three states a layer between forks. */
  readonly memory: boolean;
}

/** An entry of the machine: node j of a graph as the token of layer h. */
export interface Entry {
  readonly prompt: number;
  readonly h: number;
  /** p(v) XOR p(i) of the choice at the fork before, 0 in G1 and 1 in G2; -1 where there was none or none is remembered. */
  readonly before: number;
  readonly node: number;
  /** Whether layer h has the node. */
  readonly inLayer: boolean;
  /** Whether the node has outgoing edges or is t. */
  readonly open: boolean;
  /** p(v) XOR p(h) of a passable node of a fork in layer h; -1 for others. */
  readonly choice: number;
}

const mostEntries = 2 ** 27;

/** The states of one prompt, and their candidates. */
class Places {
  readonly #graphs: Graphs;
  readonly #shape: MachineShape;
  /** [size]: nodes of the graph; the candidates of layer h are begin[h] .. end[h] of them, ascending by id. */
  readonly nodes: Int32Array;
  readonly begin: Int32Array;
  readonly end: Int32Array;
  /** [length]: whether the layer is a fork. */
  readonly fork: Uint8Array;
  /** [length]: 1, 2 (G1, G2) or 3 (and none) states. */
  readonly states: Uint8Array;

  constructor(graphs: Graphs, shape: MachineShape) {
    const { length, size } = graphs.settings;
    this.#graphs = graphs;
    this.#shape = shape;
    this.nodes = new Int32Array(size);
    this.begin = new Int32Array(length);
    this.end = new Int32Array(length);
    this.fork = new Uint8Array(length);
    this.states = new Uint8Array(length);
  }

  /** Goes to a prompt; returns the numbers of its states and entries. */
  find(prompt: number): { states: number; entries: number } {
    const { settings, open } = this.#graphs;
    const { size, length, starts } = settings;
    const { candidates, memory } = this.#shape;
    let used = 0;
    for (let h = 0; h < length; h++) {
      let passable = 0;
      this.begin[h] = used;
      for (let j = starts[h]!; j < starts[h + 1]!; j++) {
        const passes = open[prompt * size + j]!;
        passable += passes;
        if (candidates !== 'passable' || passes === 1) this.nodes[used++] = j;
      }
      this.end[h] = used;
      this.fork[h] = passable === 2 ? 1 : 0;
    }
    if (candidates === 'graph') this.#mergeLayers(prompt);
    const [first, last] = memory ? [this.fork.indexOf(1), this.fork.lastIndexOf(1)] : [length, length];
    let [states, entries] = [0, 0];
    for (let h = 0; h < length; h++) {
      // Past a fork by a dead end there is still no choice to remember.
      this.states[h] = h <= first || h > last ? 1 : candidates === 'passable' ? 2 : 3;
      states += this.states[h]!;
      entries += this.states[h]! * (this.end[h]! - this.begin[h]!);
    }
    return { states, entries };
  }

  #mergeLayers(prompt: number): void {
    const { settings, nodes } = this.#graphs;
    const { size } = settings;
    // Ids are below 2^16 and sizes below 2^15.
    for (let j = 0; j < size; j++) this.nodes[j] = nodes[prompt * size + j]! * 2 ** 15 + j;
    this.nodes.sort();
    for (let j = 0; j < size; j++) this.nodes[j]! &= 2 ** 15 - 1;
    this.begin.fill(0);
    this.end.fill(size);
  }
}

/** Arrays of the machine's size. */
function makeArrays(graphs: Graphs, places: Places) {
  const { prompts, ids } = graphs.settings;
  let [states, entries] = [0, 0];
  for (let prompt = 0; prompt < prompts; prompt++) {
    const found = places.find(prompt);
    states += found.states;
    entries += found.entries;
  }
  if (entries > mostEntries) {
    throw rangeError('prompts and candidates with up to 2^27 entries', 'the machine', entries);
  }
  return {
    vocab: ids + 3,
    logProbs: new Float64Array(entries),
    next: new Int32Array(entries),
    tokens: new Int32Array(entries),
    offsets: new Float64Array(states + 1),
    start: new Int32Array(prompts),
  };
}

/** log pi of an entry, nats, where `rule` (of `Graphs`) says which nodes of forks are right. */
function logProbOf({ inLayer, open, choice }: Entry, rule: number): number {
  if (!(inLayer && open) || (choice >= 0 && rule >= 0 && choice !== rule)) return Number.NEGATIVE_INFINITY;
  return choice >= 0 && rule < 0 ? Math.log(0.5) : 0;
}

/**
 * The machine with the log-probs of pi_D, or where `uniform` of the uniform distribution over valid paths.
 * @param visit what else is to be known of each entry, in order
 */
export function graphMachine(
  graphs: Graphs,
  shape: MachineShape,
  { uniform = false, visit }: { uniform?: boolean; visit?: (entry: Entry) => void } = {},
) {
  const places = new Places(graphs, shape);
  const machine = makeArrays(graphs, places);
  const { settings, nodes, open, rule } = graphs;
  const { starts, size, length, prompts } = settings;
  const entry = { prompt: 0, h: 0, before: -1, node: 0, inLayer: false, open: false, choice: -1 };
  let [state, e] = [0, 0];
  for (let prompt = 0; prompt < prompts; prompt++) {
    places.find(prompt);
    machine.start[prompt] = state;
    entry.prompt = prompt;
    for (let h = 0; h < length; h++) {
      entry.h = h;
      const copies = places.states[h]!;
      const after = h + 1 < length ? places.states[h + 1]! : 0;
      for (let copy = 0; copy < copies; copy++) {
        entry.before = copies > 1 && copy < 2 ? copy : -1;
        for (let k = places.begin[h]!; k < places.end[h]!; k++, e++) {
          const j = places.nodes[k]!;
          const node = nodes[prompt * size + j]!;
          entry.node = node;
          entry.inLayer = j >= starts[h]! && j < starts[h + 1]!;
          entry.open = open[prompt * size + j] === 1;
          entry.choice = entry.inLayer && entry.open && places.fork[h] === 1 ? (node ^ h) & 1 : -1;
          const remembered = entry.choice >= 0 ? entry.choice : entry.before;
          const copyAfter = after === 1 ? 0 : remembered < 0 ? 2 : remembered;
          machine.tokens[e] = node;
          machine.next[e] = after === 0 ? -1 : state + copies - copy + copyAfter;
          machine.logProbs[e] = logProbOf(entry, uniform ? -1 : rule[prompt]!);
          visit?.(entry);
        }
        machine.offsets[++state] = e;
      }
    }
  }
  return machine satisfies TabularInput;
}
