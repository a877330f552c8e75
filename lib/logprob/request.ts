/** Arguments of the functions that score tokens, checked and turned into what the addon reads. */

import { shapeError, typeError } from '../errors.ts';
import { type Device, type JobOptions, type Ownership, privateCopy, resolveDevice } from '../native/index.ts';
import { checkInteger, checkKnownKeys, checkNumber, checkObject, checkOffsets, type NumberList } from '../validate.ts';
import { checkApart, outputArray } from './outputs.ts';

/** Storage of logits: Float32Array is 'f32'; a Uint16Array holds the bits of IEEE half floats or of bfloat16s. */
export type LogitsDtype = 'f32' | 'f16' | 'bf16';
export type LogitsArray = Float32Array | Uint16Array;

/** The tokens to score. */
export interface TokensInput {
  /** [rows]: token ids in [0, vocab); -1 marks a row that is neither read nor scored. */
  readonly targets: Int32Array;
  /** [responses + 1]: response i is rows offsets[i] .. offsets[i+1]; from 0 to rows, never falling. Default: one response. */
  readonly offsets?: NumberList;
}

/** Logits and the tokens to score. */
export interface LogitsInput extends TokensInput {
  /** [rows, vocab], row-major: row r holds the logits that predict targets[r]. -inf entries are fine. */
  readonly logits: LogitsArray;
  /** 'f32' for a Float32Array (its default); 'f16' or 'bf16' for a Uint16Array (no default). */
  readonly dtype?: LogitsDtype;
  /** Vocabulary size, in [1, 2^31 - 1]. */
  readonly vocab: number;
}

/** Hidden states, the weights of the language model's head, and the tokens to score. */
export interface HiddenInput extends TokensInput {
  /** [rows, width], row-major: row r holds the hidden state that predicts targets[r]. */
  readonly hidden: LogitsArray;
  /** [vocab, width], row-major, of the same storage as `hidden`. */
  readonly weight: LogitsArray;
  /** 'f32' for Float32Arrays (its default); 'f16' or 'bf16' for Uint16Arrays (no default). */
  readonly dtype?: LogitsDtype;
  /** Elements of a hidden state, D, at least 1. Default: hidden.length / rows; without rows it has to be given. */
  readonly width?: number;
  /** [vocab], added to the products. -inf leaves a token out. */
  readonly bias?: Float32Array;
  /** Logits x become softcap * tanh(x / softcap), after the bias. In [1e-6, 1e6]; default: they stay as they are. */
  readonly softcap?: number;
}

/** The logits of two models for the same tokens, in the same storage. */
export interface PairInput extends TokensInput {
  /** [rows, vocab] of the reference p: pi_D (a teacher, a synthetic task), or whatever the model is compared with. */
  readonly reference: LogitsArray;
  /** [rows, vocab] of the model q. */
  readonly model: LogitsArray;
  /** 'f32' for Float32Arrays (its default); 'f16' or 'bf16' for Uint16Arrays (no default). */
  readonly dtype?: LogitsDtype;
  /** Vocabulary size, in [1, 2^31 - 1]. */
  readonly vocab: number;
}

/**
 * Which outputs to compute besides the sequence sums. All come from the same pass.
 *
 * An array of [rows] in place of `true` is written into, and is what the result holds: a loop over batches of many short
 * rows then does without new memory for each, which can cost more than the work. For an asynchronous call it lies in a
 * SharedArrayBuffer. It must not be memory that the call reads. What a call that failed has left in it means nothing.
 */
export interface ScoreOutputs {
  /** Token log-probs. Default true. */
  readonly token?: boolean | Float32Array;
  /** log sum_j exp(x_j / T). Default false. */
  readonly logZ?: boolean | Float64Array;
  /** Entropy of each row's distribution. Default false. */
  readonly entropy?: boolean | Float32Array;
  /** Rank of each target. Default false. */
  readonly rank?: boolean | Int32Array;
}

/** Options of every call that scores tokens. */
export interface TokenOptions {
  /** Logits are divided by it. In [1e-6, 1e6]; default 1. */
  readonly temperature?: number;
  /** Default 'auto': the best there is. */
  readonly device?: Device;
  /**
   * What a row with a NaN, a +inf or nothing but -inf does: 'error' (default) ends the call with ERR_COVN_NON_FINITE
   * naming the first such row; 'propagate' makes its outputs NaN and lists it in `nonFiniteRows`.
   */
  readonly nonFinite?: 'error' | 'propagate';
}

export interface ScoreSyncOptions extends TokenOptions {
  readonly outputs?: ScoreOutputs;
}

export interface ScoreOptions extends ScoreSyncOptions, JobOptions {
  /** What becomes of `logits`, or of `hidden` and `weight`, while the call runs. Default 'copy'. */
  readonly ownership?: Ownership;
}

export interface PairOptions extends TokenOptions, JobOptions {
  /** `token`: the three quantities of each token too. Default false. */
  readonly outputs?: { readonly token?: boolean };
  /** What becomes of `reference` and `model` while the call runs. 'transfer' needs two buffers. Default 'copy'. */
  readonly ownership?: Ownership;
}

/** What the addon fills for scorePair: [responses], and where wanted [rows]. */
export interface PairArrays {
  readonly logRatio: Float64Array;
  readonly kl: Float64Array;
  readonly hellinger: Float64Array;
  readonly tokenLogRatio?: Float32Array;
  readonly tokenKl?: Float32Array;
  readonly tokenHellinger?: Float32Array;
}

export interface Scores {
  /** [responses], nats: sums of the token log-probs, in double and before those are rounded to float. 0 for no tokens. */
  readonly sequence: Float64Array;
  /** [rows], nats; NaN where not scored. */
  readonly token?: Float32Array;
  /** [rows], nats; NaN where not scored. */
  readonly logZ?: Float64Array;
  /** [rows], nats, in [0, log vocab]; NaN where not scored. */
  readonly entropy?: Float32Array;
  /** [rows]: 1 + the number of tokens with a greater logit; 0 where not scored. */
  readonly rank?: Int32Array;
  /** Rows that `nonFinite: 'propagate'` let through, ascending. */
  readonly nonFiniteRows: Float64Array;
  /** The device that ran the call. */
  readonly device: string;
  /** With `ownership: 'transfer'`: what was taken, handed back. */
  readonly logits?: LogitsArray;
  readonly hidden?: LogitsArray;
  readonly weight?: LogitsArray;
}

const logitsKeys = ['logits', 'dtype', 'vocab', 'targets', 'offsets'];
const pairKeys = ['reference', 'model', 'dtype', 'vocab', 'targets', 'offsets'];
const hiddenKeys = ['hidden', 'weight', 'dtype', 'width', 'bias', 'softcap', 'targets', 'offsets'];
export const syncKeys = ['temperature', 'outputs', 'device', 'nonFinite'];
const outputKeys = ['token', 'logZ', 'entropy', 'rank'];
const maxVocab = 2 ** 31 - 1;
export const asyncKeys = [...syncKeys, 'threads', 'signal', 'onProgress', 'ownership'];

function checkDtype(array: LogitsArray, name: string, dtype: LogitsDtype | undefined): LogitsDtype {
  if (array instanceof Float32Array) {
    if (dtype !== undefined && dtype !== 'f32') throw typeError(`'f32' (${name} is a Float32Array)`, 'dtype', dtype);
    return 'f32';
  }
  if (!(array instanceof Uint16Array)) throw typeError('a Float32Array or a Uint16Array', name, array);
  if (dtype !== 'f16' && dtype !== 'bf16') {
    throw typeError(`'f16' or 'bf16' (${name} is a Uint16Array)`, 'dtype', dtype);
  }
  return dtype;
}

/** A shape error unless the array is [rows, columns]. */
function checkShape(array: LogitsArray, name: string, rows: number, columns: number, what: string): void {
  const elements = rows * columns;
  if (array.length !== elements) {
    throw shapeError(`${rows} ${what} * ${columns} = ${elements} elements`, name, `${array.length}`);
  }
}

/** Logits whose storage and shape are sound, however many rows they are. */
export function checkLogits(logits: LogitsArray, dtype: LogitsDtype | undefined, vocab: number) {
  const storage = checkDtype(logits, 'logits', dtype);
  checkInteger(vocab, 'vocab', 1, maxVocab);
  if (logits.length % vocab !== 0) {
    throw shapeError(`a multiple of ${vocab} (vocab) elements`, 'logits', `${logits.length}`);
  }
  return { rows: logits.length / vocab, dtype: storage, vocab };
}

/** How often `by` elements lie in the array: a whole number, at least 1. */
function divide(array: LogitsArray, name: string, by: number, what: string): number {
  if (array.length === 0 || array.length % by !== 0) {
    throw shapeError(`a positive multiple of ${by} (${what}) elements`, name, `${array.length}`);
  }
  return array.length / by;
}

function checkInput(input: object, known: readonly string[]): void {
  checkObject(input, 'the input');
  checkKnownKeys(input, known, 'the input');
}

/** `shared`: arrays of the caller's are written while JavaScript runs; `read`: what is read where it lies meanwhile. */
function makeOutputs(
  outputs: ScoreOutputs,
  rows: number,
  responses: number,
  shared: boolean,
  read: readonly LogitsArray[],
) {
  checkObject(outputs, 'outputs');
  checkKnownKeys(outputs, outputKeys, 'outputs');
  const { token = true, logZ = false, entropy = false, rank = false }: ScoreOutputs = outputs;
  const made = {
    token: outputArray<Float32Array>(token, 'outputs.token', Float32Array, rows, shared),
    logZ: outputArray<Float64Array>(logZ, 'outputs.logZ', Float64Array, rows, shared),
    entropy: outputArray<Float32Array>(entropy, 'outputs.entropy', Float32Array, rows, shared),
    rank: outputArray<Int32Array>(rank, 'outputs.rank', Int32Array, rows, shared),
  };
  checkApart(made, read);
  return {
    sequence: new Float64Array(responses),
    ...(made.token && { token: made.token }),
    ...(made.logZ && { logZ: made.logZ }),
    ...(made.entropy && { entropy: made.entropy }),
    ...(made.rank && { rank: made.rank }),
  };
}

/** Number of tokens, those not scored among them. */
function countRows({ targets }: TokensInput): number {
  if (!(targets instanceof Int32Array)) throw typeError('an Int32Array', 'targets', targets);
  return targets.length;
}

/** The addon's function. Synchronous calls are for small inputs, and have no CUDA path. */
const named = (operation: string, known: readonly string[]): string =>
  known === asyncKeys ? operation : `${operation}Sync`;

/** What every scoring function checks besides its own input. Targets are checked where they are read, by the addon. */
function tokensRequest(input: TokensInput, options: TokenOptions, knownOptions: readonly string[], operation: string) {
  checkObject(options, 'options');
  checkKnownKeys(options, knownOptions, 'options');
  const { targets } = input;
  const { nonFinite = 'error' } = options;
  if (nonFinite !== 'error' && nonFinite !== 'propagate')
    throw typeError("'error' or 'propagate'", 'nonFinite', nonFinite);
  return {
    targets,
    offsets: checkOffsets(input.offsets ?? [0, targets.length], targets.length),
    temperature: checkNumber(options.temperature ?? 1, 'temperature', 1e-6, 1e6),
    propagateNonFinite: nonFinite === 'propagate',
    target: resolveDevice(options.device, operation),
  };
}
type TokensRequest = ReturnType<typeof tokensRequest>;

function scoreOutputs(
  { outputs, ownership = 'copy' }: ScoreSyncOptions & { ownership?: Ownership },
  { targets, offsets }: TokensRequest,
  known: readonly string[],
  inputs: readonly LogitsArray[],
) {
  const asynchronous = known === asyncKeys;
  const read = asynchronous && ownership !== 'borrow' ? [] : inputs;
  return makeOutputs(outputs ?? {}, targets.length, offsets.length - 1, asynchronous, read);
}

/** A request that is checked: what the addon reads besides the large arrays, those, and the arrays that it fills. */
export interface ScoreRequest<Outputs extends object = ReturnType<typeof makeOutputs>> {
  readonly request: TokensRequest & { readonly dtype: LogitsDtype; readonly vocab: number };
  readonly arrays: Readonly<Record<string, LogitsArray>>;
  readonly outputs: Outputs;
}

/** Checks everything; takes and copies nothing. */
export function logitsRequest(
  input: LogitsInput,
  options: ScoreSyncOptions,
  knownOptions: readonly string[],
): ScoreRequest {
  checkInput(input, logitsKeys);
  const { logits } = input;
  const dtype = checkDtype(logits, 'logits', input.dtype);
  const vocab = checkInteger(input.vocab, 'vocab', 1, maxVocab);
  checkShape(logits, 'logits', countRows(input), vocab, 'rows');
  const request = tokensRequest(input, options, knownOptions, named('scoreLogits', knownOptions));
  return {
    request: { ...request, dtype, vocab },
    arrays: { logits },
    outputs: scoreOutputs(options, request, knownOptions, [logits]),
  };
}

/** Checks everything; takes and copies nothing, but for the bias. */
export function hiddenRequest(
  input: HiddenInput,
  options: ScoreSyncOptions,
  knownOptions: readonly string[],
): ScoreRequest {
  checkInput(input, hiddenKeys);
  const { hidden, weight, bias } = input;
  const dtype = checkDtype(hidden, 'hidden', input.dtype);
  checkDtype(weight, 'weight', dtype);
  const rows = countRows(input);
  if (rows === 0 && input.width === undefined) throw typeError('an integer (no rows tell it)', 'width', undefined);
  const width = checkInteger(input.width ?? divide(hidden, 'hidden', rows, 'rows'), 'width', 1, maxVocab);
  checkShape(hidden, 'hidden', rows, width, 'rows');
  const vocab = checkInteger(divide(weight, 'weight', width, 'width'), 'the rows of weight', 1, maxVocab);
  if (bias !== undefined) {
    if (!(bias instanceof Float32Array)) throw typeError('a Float32Array', 'bias', bias);
    if (bias.length !== vocab) throw shapeError(`${vocab} elements`, 'bias', `${bias.length}`);
  }
  const softcap = input.softcap === undefined ? 0 : checkNumber(input.softcap, 'softcap', 1e-6, 1e6);
  const request = tokensRequest(input, options, knownOptions, named('scoreHidden', knownOptions));
  const head = { dtype, vocab, width, softcap, ...(bias && { bias: privateCopy(bias) }) };
  return {
    request: { ...request, ...head },
    arrays: { hidden, weight },
    outputs: scoreOutputs(options, request, knownOptions, [hidden, weight]),
  };
}

/** Checks everything; takes and copies nothing. */
export function pairRequest(input: PairInput, options: PairOptions): ScoreRequest<PairArrays> {
  checkInput(input, pairKeys);
  const { reference, model } = input;
  const dtype = checkDtype(reference, 'reference', input.dtype);
  checkDtype(model, 'model', dtype);
  const vocab = checkInteger(input.vocab, 'vocab', 1, maxVocab);
  const rows = countRows(input);
  checkShape(reference, 'reference', rows, vocab, 'rows');
  checkShape(model, 'model', rows, vocab, 'rows');
  const request = tokensRequest(input, options, asyncKeys, 'scorePair');
  const outputs = options.outputs ?? {};
  checkObject(outputs, 'outputs');
  checkKnownKeys(outputs, ['token'], 'outputs');
  const { token = false } = outputs;
  if (typeof token !== 'boolean') throw typeError('true or false', 'outputs.token', token);
  const sums = () => new Float64Array(request.offsets.length - 1);
  const tokens = () => new Float32Array(rows);
  return {
    request: { ...request, dtype, vocab },
    arrays: { reference, model },
    outputs: {
      logRatio: sums(),
      kl: sums(),
      hellinger: sums(),
      ...(token && { tokenLogRatio: tokens(), tokenKl: tokens(), tokenHellinger: tokens() }),
    },
  };
}
