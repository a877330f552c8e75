/** What a column of numbers is (log-prob, probability, surprisal), in which unit, and what is wrong with it. */

import { describe } from '../errors.ts';
import { FormatError, listNames, type Place } from './place.ts';

/** 'logprob' <= 0, 'surprisal' = -log-prob >= 0, 'probability' in [0, 1]. */
export type ValueKind = 'logprob' | 'probability' | 'surprisal';
/** Base of the logarithm: e, 2, 10. */
export type ValueUnit = 'nats' | 'bits' | 'base10';

export const VALUE_KINDS: readonly ValueKind[] = ['logprob', 'probability', 'surprisal'];
/** Nats in one of each unit. */
export const UNITS: Readonly<Record<ValueUnit, number>> = { nats: 1, bits: Math.LN2, base10: Math.LN10 };

/**
 * A log-prob or a log ratio in nats. Whole numbers of bits or of powers of ten (up to the largest double) become
 * Math.log(2 ** k) and Math.log(10 ** k) themselves, so that ratios of exactly N compare as equal to Math.log(N): k * ln 2
 * is an ulp less at k = 33, 35, 37 and others.
 */
export function inNats(value: number, unit: ValueUnit): number {
  if (unit === 'nats') return value;
  const k = Math.abs(value);
  const power = unit === 'bits' ? 2 ** k : Number(Number.isInteger(k) ? `1e${k}` : Number.POSITIVE_INFINITY);
  if (k === 0 || !Number.isInteger(k) || !Number.isFinite(power)) return value * UNITS[unit];
  return Math.sign(value) * Math.log(power);
}

/** Rounding by which a log-prob may exceed 0, or a surprisal be below it. */
const TOLERANCE = 1e-6;

/** The first value for which something held. */
interface Seen {
  readonly value: number;
  readonly place: Place;
}

/** The values of one sequence after another of one model: sums, and what decides their kind. */
export class ValueColumn {
  readonly model: string;
  readonly place: Place;
  readonly index = new Map<string, number>();
  readonly ids: string[] = [];
  /** Line of each sequence's first row; undefined where the values come from an array. */
  readonly lines: (number | undefined)[] = [];
  readonly clusters: string[] = [];
  /** Rows, sum of values, and sum of their logarithms to base 2 (exact for powers of two), by sequence. */
  readonly tokens: number[] = [];
  readonly sums: number[] = [];
  readonly logSums: number[] = [];
  /** Whether all values so far are whole numbers, as counts and positions are. */
  whole = true;
  lowest = Number.POSITIVE_INFINITY;
  highest = Number.NEGATIVE_INFINITY;
  infinite = 0;
  repeats = 0;
  firstRepeat: Place | undefined;
  private zeroFirsts = 0;
  private readonly first: Partial<Record<'negative' | 'clearlyNegative' | 'positive' | 'aboveOne' | 'sentinel', Seen>> =
    {};
  private readonly positions = new Map<string, number>();

  constructor(model: string, place: Place) {
    this.model = model;
    this.place = place;
  }

  /**
   * Adds a value to its sequence. With a position, a second row of the same position and value (a rerun appended to the
   * file) is left out and counted; one of another value is an error.
   */
  add(id: string, value: number, place: Place, cluster?: string, position?: string): void {
    if (position !== undefined && this.isRepeat(`${id}\u001f${position}`, value, place)) return;
    let i = this.index.get(id);
    if (i === undefined) {
      i = this.ids.length;
      this.index.set(id, i);
      this.ids.push(id);
      this.lines.push(place.line);
      this.tokens.push(0);
      this.sums.push(0);
      this.logSums.push(0);
      if (cluster !== undefined) this.clusters.push(cluster);
      if (value === 0) this.zeroFirsts++;
    } else if (cluster !== undefined && cluster !== this.clusters[i]) {
      throw new FormatError(place, `the cluster '${this.clusters[i]}' of sequence ${show(id)}`, `'${cluster}'`);
    }
    this.tokens[i]!++;
    this.sums[i]! += value;
    this.logSums[i]! += Math.log2(value);
    this.look(value, place);
  }

  private isRepeat(key: string, value: number, place: Place): boolean {
    const before = this.positions.get(key);
    this.positions.set(key, value);
    if (before === undefined) return false;
    if (before !== value) {
      throw new FormatError(place, `one value for position ${show(key)}`, `a second, ${value} after ${before}`);
    }
    this.repeats++;
    this.firstRepeat ??= place;
    return true;
  }

  private look(value: number, place: Place): void {
    const seen = { value, place };
    if (value < this.lowest) this.lowest = value;
    if (value > this.highest) this.highest = value;
    if (!Number.isInteger(value)) this.whole = false;
    if (!Number.isFinite(value)) this.infinite++;
    if (value < 0) this.first.negative ??= seen;
    if (value < -TOLERANCE) this.first.clearlyNegative ??= seen;
    if (value > TOLERANCE) this.first.positive ??= seen;
    if (value > 1) this.first.aboveOne ??= seen;
    if (Math.abs(value) === 9999) this.first.sentinel ??= seen;
  }

  /** Refuses a column of clusters that names one cluster only: no interval can be had from it. */
  checkClusters(column: string | undefined): void {
    if (column === undefined || this.ids.length < 2 || this.clusters.some((name) => name !== this.clusters[0])) return;
    const place = { file: this.place.file, column };
    throw new FormatError(place, 'at least two clusters', `${describe(this.clusters[0])} in every row`);
  }

  /** Refuses values that cannot be of the kind, naming the first. */
  check(kind: ValueKind): void {
    const { negative, clearlyNegative, positive, aboveOne, sentinel } = this.first;
    const refuse = (seen: Seen | undefined, expected: string, hint: string) => {
      if (seen) throw new FormatError(seen.place, expected, `${seen.value}`, hint);
    };
    if (kind !== 'probability') {
      refuse(
        sentinel,
        `a ${kind}`,
        'Some servers write -9999 for minus infinity: write -inf, or leave the response out',
      );
    }
    if (kind === 'logprob') {
      const logits = 'Raw logits? They need log-softmax first';
      refuse(positive, 'a log-prob <= 0', negative ? logits : `${logits}. Surprisals? --kind surprisal`);
    } else if (kind === 'surprisal') {
      refuse(clearlyNegative, 'a surprisal >= 0', 'Log-probs? --kind logprob');
    } else {
      refuse(
        negative ?? aboveOne,
        'a probability in [0, 1]',
        'Log-probs or surprisals? --kind logprob or --kind surprisal',
      );
    }
  }

  /** Named warnings about rows that look like those of a rerun. */
  repeatWarnings(): string[] {
    const { model, tokens } = this;
    const n = tokens.length;
    const out: string[] = [];
    if (this.repeats > 0) {
      const at = `${this.firstRepeat?.file}, line ${this.firstRepeat?.line}`;
      out.push(`duplicate-rows: ${model}: ${this.repeats} repeated rows left out, the first at ${at}`);
    }
    const several = tokens.filter((count) => count > 1).length;
    if (several > 0 && several < n / 10) {
      out.push(
        `duplicate-rows: ${model}: ${several} of ${n} sequences have several rows, most have one; rerun appended?`,
      );
    }
    return out;
  }

  /** Named warnings about values that are possible but suspicious. */
  warnings(kind: ValueKind): string[] {
    const { model, ids, tokens, sums } = this;
    const out: string[] = [];
    const n = ids.length;
    const rows = tokens.reduce((a, b) => a + b, 0);
    if (n > 1 && rows > n && this.zeroFirsts === n && kind !== 'probability') {
      out.push(
        `first-token-zero: ${model}: the first value of every sequence is exactly 0; a missing one stored as 0?`,
      );
    }
    if (this.infinite > 0) out.push(`zero-probability: ${model}: ${this.infinite} values give probability 0`);
    out.push(...this.repeatWarnings());
    const tied = n - new Set(sums).size;
    if (n >= 20 && tied > n / 20) {
      out.push(`ties: ${model}: ${((100 * tied) / n).toFixed(0)} % of the sums repeat another; coarse numbers (bf16)?`);
    }
    return out;
  }
}

/** A sequence id for people: the parts of its key joined with '/'. */
export function show(id: string): string {
  return `'${id.replaceAll('\u001f', '/')}'`;
}

const NAMED: [ValueKind, RegExp][] = [
  ['surprisal', /surp|nll|neg[_-]?log|(^|_)loss/i],
  ['logprob', /log[_-]?(p|lik)|(^|_)lp($|_)|(^|_)ll$/i],
  ['probability', /(^|[_-])prob(s|ability|abilities)?($|[_-])|(^|_)p$/i],
];
const NAMED_UNITS: [ValueUnit, RegExp][] = [
  ['bits', /(^|[_\W])bits?($|[_\W])|log_?2/i],
  ['base10', /log_?10|base_?10/i],
  ['nats', /(^|[_\W])nats?($|[_\W])/i],
];

/** The unit that a column's name gives, if any. */
export function unitOfName(name: string): ValueUnit | undefined {
  return fromNames([name], NAMED_UNITS)[0];
}

/** Whether a column's name says that it holds log-probs or the like. */
export function saysValues(name: string): boolean {
  return [...fromNames<unknown>([name], NAMED), unitOfName(name)].some((said) => said !== undefined);
}

/** What the numbers were read as, and on whose word. */
export interface Reading {
  readonly kind: ValueKind;
  /** Unit of the log-probs; of those taken from probabilities, bits. */
  readonly unit: ValueUnit;
  /** For people: "column Surprisal as surprisal in nats (kind from its name, unit assumed)". */
  readonly text: string;
}

/** What each name says, undefined where it says nothing. */
function fromNames<T>(names: readonly string[], table: readonly [T, RegExp][]): (T | undefined)[] {
  return names.map((name) => table.find(([, pattern]) => pattern.test(name))?.[0]);
}

/** Refuses columns whose names contradict each other: all are read as one kind in one unit. */
function disagreement(
  columns: readonly ValueColumn[],
  what: string,
  option: string,
  names: readonly string[],
  said: readonly (string | undefined)[],
) {
  const found = names.map((name, i) => `${name}: ${said[i] ?? 'not said'}`);
  const hint = `State it with --${option} if it is the same for all; else convert the columns first`;
  return new FormatError({ file: columns[0]!.place.file }, `columns of one ${what}`, listNames(found, 8), hint);
}

/** The one kind that the names give; undefined where none gives any. Those that say nothing follow the others. */
function namedKind(columns: readonly ValueColumn[], names: readonly string[]): ValueKind | undefined {
  const said = fromNames(names, NAMED);
  const answers = new Set(said.filter((kind) => kind !== undefined));
  if (answers.size > 1) throw disagreement(columns, 'kind', 'kind', names, said);
  return said.includes(undefined) ? undefined : [...answers][0];
}

/** The one unit that the names give; undefined where none gives any. Silence beside a stated unit is ambiguous. */
function namedUnit(columns: readonly ValueColumn[], names: readonly string[]): ValueUnit | undefined {
  const said = fromNames(names, NAMED_UNITS);
  if (new Set(said).size > 1) throw disagreement(columns, 'unit', 'unit', names, said);
  return said[0];
}

function kindFromSigns(columns: readonly ValueColumn[]): ValueKind {
  const lowest = Math.min(...columns.map((column) => column.lowest));
  const highest = Math.max(...columns.map((column) => column.highest));
  if (lowest < 0 && highest <= TOLERANCE) return 'logprob';
  const place = columns.find((column) => column.lowest < 0)?.place ?? columns[0]!.place;
  const found = `values from ${lowest} to ${highest}`;
  if (lowest < 0) {
    throw new FormatError(place, 'values of one sign', found, 'Raw logits? They need log-softmax first');
  }
  const either = highest <= 1 ? 'probabilities or surprisals' : 'surprisals or raw logits';
  throw new FormatError(place, 'a column whose kind is clear', `${found}: ${either}?`, 'State it with --kind');
}

/** Refuses a kind taken from the signs that contradicts what some of the names say. */
function checkSaid(columns: readonly ValueColumn[], names: readonly string[], kind: ValueKind): void {
  const said = fromNames(names, NAMED);
  if (said.some((name) => name !== undefined && name !== kind)) {
    throw disagreement(columns, `kind (by their signs: ${kind})`, 'kind', names, said);
  }
}

/**
 * Decides kind and unit: as stated, else from the columns' names, else from the sign (only negative: log-probs). Nats
 * where neither statement nor name says. Refuses what stays ambiguous and values that the kind cannot have.
 */
export function readAs(
  columns: readonly ValueColumn[],
  stated: { kind?: ValueKind | undefined; unit?: ValueUnit | undefined },
): Reading {
  const names = [...new Set(columns.map((column) => column.place.column ?? column.model))];
  const named = stated.kind === undefined ? namedKind(columns, names) : undefined;
  const kind = stated.kind ?? named ?? kindFromSigns(columns);
  if (stated.kind === undefined) checkSaid(columns, names, kind);
  for (const column of columns) column.check(kind);
  const unitNamed = stated.unit === undefined && kind !== 'probability' ? namedUnit(columns, names) : undefined;
  const unit = stated.unit ?? unitNamed ?? 'nats';
  const what = names.length === 1 ? `column ${names[0]}` : `${names.length} columns`;
  if (kind === 'probability') return { kind, unit: 'bits', text: `${what} as probability` };
  const kindWord = stated.kind ? 'kind as stated' : named ? 'kind from the name' : 'kind from the sign';
  const unitWord = stated.unit ? 'unit as stated' : unitNamed ? 'unit from the name' : 'unit assumed';
  return { kind, unit, text: `${what} as ${kind} in ${unit} (${kindWord}, ${unitWord})` };
}

/** The log-prob of each sequence of a column, in the unit of the reading. */
export function toLogProbs(column: ValueColumn, { kind }: Reading): Float64Array {
  if (kind === 'probability') return Float64Array.from(column.logSums);
  return Float64Array.from(column.sums, (sum) => (kind === 'surprisal' ? -sum : sum));
}
