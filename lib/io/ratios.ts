/** Log density ratios log pi_D(y|x) - log pi(y|x), one per response, as recorded. */

import type { LogProbOptions } from './logprobs.ts';
import { readNpy, shapeText } from './npy.ts';
import { FormatError, type Place } from './place.ts';
import { checkColumn, numberCell, openTable, textCell } from './table.ts';
import { inNats, unitOfName, ValueColumn, type ValueUnit } from './values.ts';

/** Log ratios of n responses. */
export interface LogRatios {
  /** [n], nats; +Infinity where pi gives the response probability 0. */
  readonly logRatios: Float64Array;
  /** Cluster of each response, [n], where a cluster column was named. */
  readonly clusters?: string[];
  readonly warnings: string[];
  /** Unit that the ratios were read in: as stated, else from the column's name, else nats. */
  readonly unit: ValueUnit;
}

/** log pi_D - log pi = -inf: pi_D gives the response probability 0, so it was not drawn from pi_D. */
function impossible(place: Place): FormatError {
  const hint = 'pi_D gives such a response probability 0, so it cannot have been drawn from pi_D';
  return new FormatError(place, 'a log ratio above -inf', '-inf', hint);
}

type RatioOptions = Pick<LogProbOptions, 'sequence' | 'position' | 'unit' | 'signal' | 'delimiter' | 'quotes'> & {
  /** Column that holds the cluster of a response. */
  readonly cluster?: string;
};

/**
 * Reads log ratios from a column (CSV, TSV, JSONL) or from an .npy array [n]. With `sequence`, the rows (tokens) of a
 * response are summed; `unit` is that of the ratios: by default from the column's name, else nats.
 * @throws FormatError with file, line and column.
 */
export async function readLogRatios(
  path: string,
  column: string | undefined,
  options: RatioOptions = {},
): Promise<LogRatios> {
  const unit = options.unit ?? (column === undefined ? undefined : unitOfName(column)) ?? 'nats';
  if (path.endsWith('.npy')) {
    const { shape, data } = await readNpy(path, options);
    if (shape.length !== 1) throw new FormatError({ file: path }, 'shape [n]', shapeText(shape));
    const at = data.indexOf(Number.NEGATIVE_INFINITY);
    if (at >= 0) throw impossible({ file: path, column: `[${at}]` });
    return { logRatios: data.map((ratio) => inNats(ratio, unit)), warnings: [], unit };
  }
  const source = await openTable(path, options);
  const keys = options.sequence === undefined ? [] : [options.sequence].flat();
  const value = column ?? (source.columns.length === 1 ? source.columns[0]! : undefined);
  if (value === undefined) {
    throw new FormatError(
      { file: path },
      'one column',
      `several: ${source.columns.join(', ')}`,
      'Name the column: --ratio <column>',
    );
  }
  const { cluster, position } = options;
  for (const name of [value, ...keys, cluster, position]) if (name !== undefined) checkColumn(source, name);
  const ratios = new ValueColumn(value, { file: path, column: value });
  for await (const row of source.rows()) {
    const id = keys.length === 0 ? `${row.line}` : keys.map((key) => textCell(path, row, key)).join('\u001f');
    const text = (name: string | undefined) => (name === undefined ? undefined : textCell(path, row, name));
    const place = { file: path, line: row.line, column: value };
    const ratio = numberCell(path, row, value, true);
    if (ratio === Number.NEGATIVE_INFINITY) throw impossible(place);
    ratios.add(id, ratio, place, text(cluster), text(position));
  }
  if (ratios.ids.length === 0) throw new FormatError({ file: path }, 'at least one row after the header', 'none');
  ratios.checkClusters(cluster);
  return {
    logRatios: Float64Array.from(ratios.sums, (sum) => inNats(sum, unit)),
    ...(cluster !== undefined && { clusters: ratios.clusters }),
    warnings: ratios.repeatWarnings(),
    unit,
  };
}
