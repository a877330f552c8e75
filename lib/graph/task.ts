import type { Automaton } from '../best-of-n/index.ts';
import { type Responses, TabularModel } from '../model/index.ts';
import { checkInteger, type NumberList } from '../validate.ts';
import { drawGraphs, type Graphs, halfParity, sumParity } from './draw.ts';
import { type FeatureOptions, type GraphFeatures, graphFeatures } from './features.ts';
import { graphMachine } from './machine.ts';
import { isValidPath, rightPaths, validityAutomaton } from './paths.ts';
import { decodePrompt, encodePrompt, type Graph, graphOf, specialTokens } from './prompt.ts';
import { checkSettings, type GraphTaskOptions } from './settings.ts';

/**
 * Prompts x that are layered graphs, responses y that are paths from s to t, and the exact pi_D(y|x). Made by `graphTask`.
 * Models, automata and references are made when first asked for.
 */
export class GraphTask {
  readonly figure: 1 | 2;
  /** Number of prompts. */
  readonly prompts: number;
  readonly seed: number;
  /** Layers between s and t. */
  readonly layers: number;
  /** Nodes in each of them. */
  readonly width: number;
  /** Tokens of a response, H: layers + 2. */
  readonly length: number;
  /** Node ids are the tokens 0 .. ids. */
  readonly ids: number;
  /** The tokens after them: `|`, `/` and `=`. */
  readonly special: { readonly bar: number; readonly slash: number; readonly equals: number };
  /** Number of tokens. */
  readonly vocab: number;
  /** [3]: the probability of each class. */
  readonly weights: readonly number[];
  /** [3]: forks of its graphs. */
  readonly forks: readonly number[];
  /** [prompts]: the class of each: 1, 2 or 3 (Figure 1: G1, G2, G3). */
  readonly classOf: Uint8Array;
  readonly #graphs: Graphs;
  #data: TabularModel | undefined;
  #uniform: TabularModel | undefined;
  #validity: Automaton | undefined;
  #references: Responses | undefined;

  constructor(graphs: Graphs) {
    const { figure, prompts, seed, layers, width, length, ids, weights, forks } = graphs.settings;
    this.figure = figure;
    this.prompts = prompts;
    this.seed = seed;
    this.layers = layers;
    this.width = width;
    this.length = length;
    this.ids = ids;
    this.special = specialTokens(ids);
    this.vocab = ids + 3;
    this.weights = weights;
    this.forks = forks;
    this.classOf = graphs.classOf.slice();
    this.#graphs = graphs;
  }

  /** The graph of a prompt. */
  graph(prompt: number): Graph {
    return graphOf(this.#graphs, this.#check(prompt));
  }

  /**
   * The bit that decides the right path. Figure 1: the parity of the sum of the nodes below ids / 2, 1 in G1 and 0 in G2.
   * Figure 2: the parity of the sum of all passable nodes (s is one, t is not), which class 2 adds to its forks' parities.
   */
  parity({ layers, passable }: Graph): number {
    return this.figure === 1 ? halfParity(layers.flat(), this.ids) : sumParity(passable.flat());
  }

  /** The prompt's tokens, `u v | u v | ... / s t =`, its edges in an order that the seed decides. */
  encode(prompt: number): Int32Array {
    return encodePrompt(this.#graphs, this.#check(prompt));
  }

  /**
   * The graph of a prompt's tokens.
   * @throws RangeError (ERR_COVN_SHAPE, ERR_COVN_RANGE) for what is not a graph of so many layers and nodes
   */
  decode(tokens: NumberList): Graph {
    return decodePrompt(tokens, this.#graphs.settings);
  }

  /** pi_D, the class of each prompt given. */
  get data(): TabularModel {
    this.#data ??= this.#model(false);
    return this.#data;
  }

  /** The uniform distribution over valid paths, from which Figure 1 starts. */
  get uniform(): TabularModel {
    this.#uniform ??= this.#model(true);
    return this.#uniform;
  }

  #model(uniform: boolean): TabularModel {
    return new TabularModel(graphMachine(this.#graphs, { candidates: 'passable', memory: false }, { uniform }));
  }

  /** Whether a response is a path from s to t by passable nodes, each in its layer. */
  isValid(prompt: number, path: NumberList): boolean {
    return isValidPath(this.#graphs, this.#check(prompt), path);
  }

  /**
   * Accepts the valid paths: the reward { automaton: task.validity }.
   * @throws RangeError where (layers + 2) * vocab entries a prompt come to more than 2^28
   */
  get validity(): Automaton {
    this.#validity ??= validityAutomaton(this.#graphs);
    return this.#validity;
  }

  /** The paths that pi_D can give, as the reward { equals: task.references }: one, or 2^forks where it is uniform. */
  get references(): Responses {
    this.#references ??= rightPaths(this.#graphs);
    return this.#references;
  }

  /**
   * Features with which an autoregressive linear model (Eq. 3) learns what can be learned here, and not the class: whether
   * a node is in the next layer; whether it is passable (or t); at forks, `parity`, whether p(v) = p(i). Figure 1: that
   * only before any choice, and after one `repeat`, whether the choice is of the same class. Figure 2 has no sight of
   * earlier choices: the first fork would tell the class.
   * @throws TypeError, RangeError (more than 2^27 entries; candidates 'graph' have layers * width in each state)
   */
  features(options?: FeatureOptions): GraphFeatures {
    return graphFeatures(this.#graphs, options);
  }

  #check(prompt: number): number {
    return checkInteger(prompt, 'prompt', 0, this.prompts - 1);
  }
}

/**
 * The graph reasoning task (App. C): layers of nodes, of which one is passable, or at forks two, an even and an odd one.
 * pi_D follows one valid path: that of nodes with p(v) = p(i) at the forks i (G1), of the others (G2), of p(v) = p(i) XOR
 * parity (class 2); or all alike (G3, class 3). The class of a prompt is drawn, then a graph that fits it. It is part of
 * the prompt, though nothing in its tokens may tell.
 *
 * @throws TypeError, RangeError
 */
export function graphTask(options: GraphTaskOptions): GraphTask {
  return new GraphTask(drawGraphs(checkSettings(options)));
}
