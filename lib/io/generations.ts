/** Log-probs, under several models, of responses that these models generated. */

import { type LogProbOptions, type LogProbs, readLogProbs } from './logprobs.ts';
import { FormatError, listNames, suggest } from './place.ts';

/** How to read generations. */
export interface GenerationOptions
  extends Pick<LogProbOptions, 'sequence' | 'position' | 'signal' | 'delimiter' | 'quotes'> {
  /** Column that names the model that generated the response. */
  readonly generator: string;
  /** Column that holds the cluster of a generation (its prompt). */
  readonly cluster?: string;
}

/** Generations in the order of the models that drew them. */
export interface Generations {
  /** [models, G], row-major, in the unit of the log-probs that they go with. */
  readonly stored: Float64Array;
  /** [models + 1] */
  readonly offsets: number[];
  /** [G], where a cluster column was named. */
  readonly clusters?: string[];
  readonly warnings: string[];
}

/** Where each generation goes: those of the first model first. */
function orderByModel(
  file: string,
  ids: readonly string[],
  generators: string[],
  models: readonly string[],
  column: string,
) {
  const rows = models.map((): number[] => []);
  for (const [g, name] of generators.entries()) {
    const model = models.indexOf(name);
    if (model < 0) {
      const found = `'${name}' (sequence '${ids[g]}')`;
      throw new FormatError({ file, column }, `one of the models ${listNames(models)}`, found, suggest(name, models));
    }
    rows[model]!.push(g);
  }
  const none = rows.findIndex((list) => list.length === 0);
  if (none >= 0) throw new FormatError({ file, column }, `at least one generation of '${models[none]}'`, 'none');
  return rows;
}

/**
 * Reads a wide table: a row per generation (or, with `sequence`, per token), a column that names its model, and a column of
 * values for each model, named as the model is. Values are of the kind and unit of `given`.
 * @throws FormatError with file, line and column.
 */
export async function readGenerations(
  file: string,
  { models, reading: { kind, unit } }: Pick<LogProbs, 'models' | 'reading'>,
  { generator, sequence, cluster, ...options }: GenerationOptions,
): Promise<Generations> {
  const read = await readLogProbs(file, {
    ...options,
    kind,
    ...(kind !== 'probability' && { unit }),
    value: models,
    // The same sequence of different models is two generations.
    ...(sequence !== undefined && { sequence: [generator, sequence].flat() }),
    cluster: cluster === undefined ? generator : [generator, cluster],
  });
  const labels = read.clusters!.map((label) => label.split('\u001f'));
  const rows = orderByModel(
    file,
    read.ids,
    labels.map(([name]) => name!),
    models,
    generator,
  );
  const order = rows.flat();
  const G = order.length;
  const stored = new Float64Array(models.length * G);
  for (let m = 0; m < models.length; m++)
    for (const [g, from] of order.entries()) stored[m * G + g] = read.stored[m * G + from]!;
  const offsets = [0];
  for (const [m, list] of rows.entries()) {
    const impossible = list.find((from) => read.stored[m * G + from] === Number.NEGATIVE_INFINITY);
    if (impossible !== undefined) {
      const what = `a finite log-prob of sequence '${read.ids[impossible]}', which ${models[m]} generated`;
      throw new FormatError({ file, column: models[m]! }, what, '-inf');
    }
    offsets.push(offsets.at(-1)! + list.length);
  }
  const clusters = cluster === undefined ? undefined : order.map((from) => labels[from]![1]!);
  return { stored, offsets, ...(clusters && { clusters }), warnings: read.warnings };
}
