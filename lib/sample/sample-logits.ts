import { rangeError, shapeError, typeError } from '../errors.ts';
import { checkApart, checkLogits, type LogitsArray, type LogitsDtype, outputArray } from '../logprob/index.ts';
import {
  checkJobOptions,
  checkOwnership,
  type Device,
  deviceName,
  type JobOptions,
  type Ownership,
  resolveDevice,
  returning,
  runJob,
  seedWords,
  takeInput,
} from '../native/index.ts';
import {
  checkInteger,
  checkKnownKeys,
  checkNumber,
  checkNumberList,
  checkObject,
  type NumberList,
} from '../validate.ts';

/** Logits to draw from. */
export interface SampleInput {
  /** [rows, vocab], row-major. -inf entries are fine, and never drawn. */
  readonly logits: LogitsArray;
  /** 'f32' for a Float32Array (its default); 'f16' or 'bf16' for a Uint16Array (no default). */
  readonly dtype?: LogitsDtype;
  /** Vocabulary size, in [1, 2^31 - 1]. */
  readonly vocab: number;
}

/**
 * Which distribution is drawn from. In the order of vLLM's sampler: logits are divided by the temperature, then tokens
 * are dropped by min-p, top-k and top-p, each as a share of what is left. (Hugging Face's `generate` applies min-p last;
 * the tokens kept by min-p are the same, but top-p's shares are then of a larger whole.) Tokens of equal logits are kept
 * or dropped together; vLLM and Hugging Face do so for top-k, and for top-p let the order of sorting decide.
 */
export interface SampleFilter {
  /** In [1e-6, 1e6]; default 1. */
  readonly temperature?: number;
  /** Tokens whose logit is no less than the k-th largest; a whole number >= 1. Default: all. */
  readonly topK?: number;
  /** The most probable tokens until their share reaches topP, in (0, 1]. Default 1. */
  readonly topP?: number;
  /** Tokens with at least minP times the probability of the most probable one, in [0, 1]. Default 0. */
  readonly minP?: number;
}

/**
 * Arrays of [rows, N], in SharedArrayBuffers, that are written into and are what the result holds: a loop then does without
 * new memory for each batch, which costs as much as some of the draws. What a call that failed has left in them means nothing.
 */
export interface SampleOutputs {
  readonly ids?: Int32Array;
  readonly logProb?: Float32Array;
  readonly processedLogProb?: Float32Array;
}

export interface SampleOptions extends SampleFilter, JobOptions {
  /** Tokens drawn from each row, in [1, 2^31 - 1]; at most 2^30 of all rows. Default 1. */
  readonly N?: number;
  /** Whole number in [0, 2^53). Default 0. */
  readonly seed?: number;
  /**
   * Sample i of row r depends on nothing but its logits, the seed and (sequence[r], position[r], firstSample[r] + i),
   * whole numbers in [0, 2^32): a row's part of a batch can be drawn anywhere, any time. One number stands for all rows,
   * but `sequence` then for the first row's, the others following. Defaults: 0.
   */
  readonly sequence?: number | NumberList;
  readonly position?: number | NumberList;
  readonly firstSample?: number | NumberList;
  /** Default 'auto'. */
  readonly device?: Device;
  /** What becomes of `logits` while the call runs. Default 'copy'. */
  readonly ownership?: Ownership;
  /** In SharedArrayBuffers, in no memory that the call reads. Default: new arrays. */
  readonly outputs?: SampleOutputs;
}

/** Tokens drawn, [rows, N]. */
export interface Samples {
  readonly ids: Int32Array;
  /** nats, under the logits as they are: bit for bit what `scoreLogits` gives for these tokens. */
  readonly logProb: Float32Array;
  /** nats, under the distribution drawn from: after temperature and filters. Without either it is the array `logProb`. */
  readonly processedLogProb: Float32Array;
  /** The device that ran the call. */
  readonly device: string;
  /** With `ownership: 'transfer'`: the logits, handed back. */
  readonly logits?: LogitsArray;
}

export const filterKeys = ['temperature', 'topK', 'topP', 'minP'];
const optionKeys = [
  ...filterKeys,
  ...['N', 'seed', 'sequence', 'position', 'firstSample', 'device', 'ownership', 'outputs', 'threads'],
  ...['signal', 'onProgress'],
];
const largest = 2 ** 32 - 1;
const mostDraws = 2 ** 30;

/** The filter as the addon reads it. */
export function checkFilter({ temperature = 1, topK, topP = 1, minP = 0 }: SampleFilter) {
  if (!(checkNumber(topP, 'topP') > 0 && topP <= 1)) throw rangeError('a number in (0, 1]', 'topP', topP);
  if (temperature === 0) throw rangeError('a number in [1e-6, 1e6] (topK: 1 is greedy)', 'temperature', 0);
  return {
    temperature: checkNumber(temperature, 'temperature', 1e-6, 1e6),
    topK: topK === undefined ? 0 : checkInteger(topK, 'topK', 1, 2 ** 31 - 1),
    topP,
    minP: checkNumber(minP, 'minP', 0, 1),
  };
}

/** Whether the distribution drawn from is another than the model's. */
const changes = ({ temperature, topK, topP, minP }: ReturnType<typeof checkFilter>): boolean =>
  temperature !== 1 || topK > 0 || topP < 1 || minP > 0;

function checkOptions(options: SampleOptions): void {
  checkObject(options, 'options');
  checkKnownKeys(options, optionKeys, 'options');
  checkJobOptions(options);
}

function makeOutputs(given: SampleOutputs, draws: number, filtered: boolean, read: readonly ArrayBufferView[]) {
  checkObject(given as unknown, 'outputs');
  checkKnownKeys(given, ['ids', 'logProb', 'processedLogProb'], 'outputs');
  const array = <A extends Int32Array | Float32Array>(name: keyof SampleOutputs, type: new (length: number) => A) => {
    const wanted: unknown = given[name];
    // Every output has an array: there is nothing to switch off.
    if (typeof wanted === 'boolean') throw typeError(`an array (${type.name})`, `outputs.${name}`, wanted);
    return outputArray<A>((wanted as A | undefined) ?? true, `outputs.${name}`, type, draws, true)!;
  };
  const ids = array('ids', Int32Array);
  const logProb = array('logProb', Float32Array);
  const processed =
    filtered || given.processedLogProb !== undefined ? array('processedLogProb', Float32Array) : undefined;
  checkApart({ ids, logProb, processedLogProb: processed }, read);
  return {
    arrays: { ids, logProb, processedLogProb: processed ?? logProb },
    filled: { tokens: ids, logProb, ...(processed && { sampledLogProb: processed }) },
  };
}

/** One word of the counter for each row. By a loop: `from` takes microseconds for a few rows, which a call does not have. */
function counterWords(value: number | NumberList, name: string, rows: number, step: 0 | 1): Uint32Array {
  const words = new Uint32Array(rows);
  if (typeof value === 'number') {
    checkInteger(value, name, 0, largest - step * Math.max(0, rows - 1));
    for (let row = 0; row < rows; row++) words[row] = value + step * row;
    return words;
  }
  const list = checkNumberList(value, name, rows);
  for (let row = 0; row < rows; row++) {
    words[row] = list[row]!;
    if (words[row] !== list[row]) checkInteger(list[row], `${name}[${row}]`, 0, largest);
  }
  return words;
}

/**
 * N tokens from each row of logits, with replacement, and their log-probs.
 *
 * Draws invert the distribution function exactly (no tail is cut off or rounded away: a token of probability 1e-12 is
 * drawn as often as it should be), at uniforms of 52 bits from Philox4x32-10 (Salmon et al. 2011). N = 1 reads the logits
 * once; further draws cost some nanoseconds each. A sample is the same for any number of threads, any split of the batch
 * and of N. On instruction sets it can differ where a uniform lies within about 1e-6 of the boundary of two tokens.
 *
 * @throws TypeError (ERR_COVN_DTYPE), RangeError (ERR_COVN_SHAPE, ERR_COVN_RANGE), CovnError (ERR_COVN_NON_FINITE, naming
 *   the first row with a NaN, a +inf or nothing but -inf; ERR_COVN_DEVICE, ERR_COVN_ADDON), or the reason of `signal`:
 *   always as a rejection
 */
export async function sampleLogits(input: SampleInput, options: SampleOptions = {}): Promise<Samples> {
  checkObject(input, 'the input');
  checkKnownKeys(input, ['logits', 'dtype', 'vocab'], 'the input');
  checkOptions(options);
  const { rows, dtype, vocab } = checkLogits(input.logits, input.dtype, input.vocab);
  const { N = 1, seed = 0, sequence = 0, position = 0, firstSample = 0, ownership = 'copy' } = options;
  checkInteger(N, 'N', 1, 2 ** 31 - 1);
  if (rows === 0) throw shapeError('at least one row (logits that were transferred have none left)', 'logits', '0');
  if (rows * N > mostDraws) throw rangeError('rows * N up to 2^30', 'N', N, `${rows} * ${N}`);
  const firstSamples = counterWords(firstSample, 'firstSample', rows, 0);
  const past = firstSamples.findIndex((first) => first + N > 2 ** 32);
  if (past >= 0) throw rangeError(`at most 2^32 - N = ${2 ** 32 - N}`, `firstSample[${past}]`, firstSamples[past]);
  const request = {
    ...{ dtype, vocab, samples: N, ...checkFilter(options), seed: seedWords(seed), firstSamples },
    sequences: counterWords(sequence, 'sequence', rows, 1),
    positions: counterWords(position, 'position', rows, 0),
    target: resolveDevice(options.device, 'sampleLogits'),
  };
  checkOwnership(input.logits, ownership, 'logits');
  options.signal?.throwIfAborted();
  const read = ownership === 'borrow' ? [input.logits] : [];
  const outputs = makeOutputs(options.outputs ?? {}, rows * N, changes(request), read);
  const logits = takeInput(input.logits, ownership, 'logits');
  const handBack = ownership === 'transfer' && { logits };
  await returning(handBack, () => runJob('sampleLogits', { ...request, logits, ...outputs.filled }, options));
  return { ...outputs.arrays, device: deviceName(request.target), ...handBack };
}
