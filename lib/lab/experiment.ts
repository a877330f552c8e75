/** What an experiment of the lab is. */

import type { JobOptions } from '../native/index.ts';
import { checkInteger, checkKnownKeys, checkObject } from '../validate.ts';
import type { Figure } from './figure/index.ts';

/** A setting that changes how large an experiment is, a whole number. */
export interface Setting {
  readonly what: string;
  readonly default: number;
  readonly min: number;
  readonly max: number;
}

/** Cells are text or numbers; numbers have so many decimals, or are counts. */
export interface Column {
  readonly name: string;
  readonly decimals?: number;
}

export interface Table {
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly (string | number)[])[];
}

/** What an experiment found: the same in numbers, in tables, in sentences and in a picture. */
export interface Outcome<V extends object = object> {
  /** Plain numbers, for scripts. */
  readonly values: V;
  readonly tables: readonly Table[];
  /** What the numbers say, a sentence each. */
  readonly findings: readonly string[];
  readonly figure: Figure;
}

export interface RunOptions extends JobOptions {
  /** Whole number in [0, 2^53). Default 0. The same seed gives the same result on any number of threads. */
  readonly seed?: number;
}

type Settings<S> = { readonly [K in keyof S]: number };

/** What an experiment's work is given: every setting, the seed, and what its calls take. */
export interface Setup<S> {
  readonly settings: Settings<S>;
  readonly seed: number;
  /** Threads and signal for calls that take long. */
  readonly job: Omit<JobOptions, 'onProgress'>;
  readonly onProgress: (fraction: number) => void;
}

export interface Experiment<S extends Record<string, Setting> = Record<string, Setting>, V extends object = object> {
  /** A word, as in `covn lab fig1`. */
  readonly name: string;
  /** What it shows, in one sentence. */
  readonly summary: string;
  readonly settings: S;
  /** @throws (as a rejection) TypeError, RangeError, the signal's reason */
  run(settings?: Partial<Settings<S>>, options?: RunOptions): Promise<Outcome<V>>;
}

/** An experiment whose settings are checked, and take their defaults, before its work begins. */
export function experiment<S extends Record<string, Setting>, V extends object>(
  definition: Omit<Experiment<S, V>, 'run'> & { readonly work: (setup: Setup<S>) => Promise<Outcome<V>> },
): Experiment<S, V> {
  const { name, summary, settings: known, work } = definition;
  return {
    name,
    summary,
    settings: known,
    async run(given = {}, { seed = 0, onProgress, ...job } = {}) {
      checkObject(given, 'settings');
      checkKnownKeys(given, Object.keys(known), 'settings');
      checkInteger(seed, 'seed', 0);
      const settings = Object.fromEntries(
        Object.entries(known).map(([key, { default: usual, min, max }]) => [
          key,
          checkInteger((given as Record<string, unknown>)[key] ?? usual, key, min, max),
        ]),
      ) as Settings<S>;
      job.signal?.throwIfAborted();
      return work({ settings, seed, job, onProgress: onProgress ?? (() => {}) });
    },
  };
}
