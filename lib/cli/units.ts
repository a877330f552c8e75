/** Tournaments on log-probs in bits or in powers of ten, such that ratios of exactly N count. */

import { type LogProbs, UNITS, type ValueUnit } from '../io/index.ts';
import { type Tournament, type TournamentInput, tournament } from '../tournament/index.ts';

const LOGS: Readonly<Record<ValueUnit, (value: number) => number>> = {
  nats: Math.log,
  bits: Math.log2,
  base10: Math.log10,
};

/** The N' whose natural logarithm is log N in the unit: never above it, so that ties count. */
export function inUnit(N: number, unit: ValueUnit): number {
  if (unit === 'nats') return N;
  const threshold = LOGS[unit](N);
  let scaled = Math.exp(threshold);
  while (Math.log(scaled) > threshold) scaled *= 1 - Number.EPSILON;
  return scaled;
}

/** The result in nats and in terms of the N asked for. */
function toNats(result: Tournament, N: number, unit: ValueUnit): Tournament {
  const scale = UNITS[unit];
  const converted = {
    N,
    ...(result.exponent !== undefined && { exponent: result.exponent / scale }),
    ladder: result.ladder.map((rung, k) => ({ ...rung, N: k === 0 ? N : Math.exp(Math.log(rung.N) * scale) })),
    crossEntropy: result.crossEntropy.map((e) => ({
      ...e,
      value: e.value * scale,
      lower: e.lower * scale,
      upper: e.upper * scale,
    })),
  };
  return { ...result, ...converted, toJSON: () => ({ ...result.toJSON(), ...converted }) };
}

/**
 * `tournament` on log-probs as read. A tournament knows no unit: it compares differences of log-probs with log N. In
 * another unit than nats it is therefore played on the numbers of the file, at the N whose natural logarithm is log N in
 * that unit; conversion of the log-probs first would round differences of exactly N to either side. Generations
 * (`onPolicy`) are in the same unit.
 */
export async function tournamentInUnit(
  { stored, reading: { unit } }: LogProbs,
  input: Omit<TournamentInput, 'logProbs' | 'N'> & { readonly N: readonly number[] },
): Promise<Tournament[]> {
  const N = input.N.map((size) => inUnit(size, unit));
  // N^a is a power of N' = N^(1 / scale) too.
  const exponent = (input.onPolicy?.exponent ?? 0) * UNITS[unit];
  const offset = input.onPolicy && { onPolicy: { ...input.onPolicy, exponent } };
  const results = await tournament({ ...input, ...offset, logProbs: stored, N });
  return unit === 'nats' ? results : results.map((result, k) => toNats(result, input.N[k]!, unit));
}
