/** What an autoregressive linear model sees of the graphs. */

import { typeError } from '../errors.ts';
import type { TabularInput } from '../model/index.ts';
import { checkKnownKeys, checkNumber, checkObject } from '../validate.ts';
import type { Graphs } from './draw.ts';
import { type Candidates, type Entry, graphMachine } from './machine.ts';

/**
 * Factors of the features, finite and >= 0. A gradient step moves what a feature says in proportion to its square, Adam's
 * in proportion to itself.
 */
export interface FeatureScales {
  /** Default 1. */
  readonly nextLayer?: number;
  /** Default 1. */
  readonly passable?: number;
  /** Default 0.2 (Figure 1), 1 (Figure 2). */
  readonly parity?: number;
  /** Default 1. Figure 1 alone. */
  readonly repeat?: number;
}

export interface FeatureOptions {
  /** Default 'graph'. */
  readonly candidates?: Candidates;
  readonly scales?: FeatureScales;
}

/** phi(x, y_1:h) of Eq. 3 for every entry of a machine, sparse. */
export interface GraphFeatures {
  /** pi_D over the candidates, which has the entries: `tokens`, `next` and `offsets`. */
  readonly machine: Required<Omit<TabularInput, 'stop'>>;
  readonly dimension: number;
  /** [dimension] */
  readonly names: readonly string[];
  /** [entries + 1]: entry e has the features featureOffsets[e] .. featureOffsets[e + 1]. */
  readonly featureOffsets: Float64Array;
  /** In [0, dimension), ascending within an entry. */
  readonly featureIds: Int32Array;
  readonly featureValues: Float64Array;
}

interface Feature {
  readonly name: keyof FeatureScales;
  readonly scale: number;
  readonly holds: (entry: Entry) => boolean;
}

const candidateNames = ['graph', 'layer', 'passable'];

function checkFeatures(figure: 1 | 2, scales: FeatureScales): Feature[] {
  checkObject(scales as unknown, 'scales');
  const all: Feature[] = [
    { name: 'nextLayer', scale: 1, holds: ({ inLayer }) => inLayer },
    { name: 'passable', scale: 1, holds: ({ open }) => open },
    { name: 'parity', scale: figure === 1 ? 0.2 : 1, holds: ({ choice, before }) => choice === 0 && before < 0 },
    { name: 'repeat', scale: 1, holds: ({ choice, before }) => choice >= 0 && choice === before },
  ];
  const features = figure === 1 ? all : all.slice(0, 3);
  checkKnownKeys(
    scales,
    features.map(({ name }) => name),
    'scales',
  );
  return features.map(({ name, scale, holds }) => {
    return { name, scale: checkNumber(scales[name] ?? scale, `scales.${name}`, 0), holds };
  });
}

/** A list of numbers that grows. */
class Growing<T extends Int32Array | Float64Array> {
  #values: T;
  readonly #make: (length: number) => T;
  length = 0;

  constructor(make: (length: number) => T) {
    this.#make = make;
    this.#values = make(1024);
  }

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = this.#make(2 * this.length);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.length++] = value;
  }

  values(): T {
    return this.#values.slice(0, this.length) as T;
  }
}

export function graphFeatures(graphs: Graphs, options: FeatureOptions = {}): GraphFeatures {
  checkObject(options as unknown, 'the options');
  checkKnownKeys(options, ['candidates', 'scales'], 'the options');
  const { candidates = 'graph', scales = {} } = options;
  if (!candidateNames.includes(candidates)) throw typeError("'graph', 'layer' or 'passable'", 'candidates', candidates);
  const { figure } = graphs.settings;
  const features = checkFeatures(figure, scales);
  const ids = new Growing((length) => new Int32Array(length));
  const values = new Growing((length) => new Float64Array(length));
  const offsets = new Growing((length) => new Float64Array(length));
  offsets.push(0);
  const visit = (entry: Entry): void => {
    for (let i = 0; i < features.length; i++) {
      if (!features[i]!.holds(entry)) continue;
      ids.push(i);
      values.push(features[i]!.scale);
    }
    offsets.push(ids.length);
  };
  return {
    machine: graphMachine(graphs, { candidates, memory: figure === 1 }, { visit }),
    dimension: features.length,
    names: features.map(({ name }) => name),
    featureOffsets: offsets.values(),
    featureIds: ids.values(),
    featureValues: values.values(),
  };
}
