/** Arguments of scoreLogits, checked and turned into what the addon reads. */

import { rangeError, shapeError, typeError } from '../errors.ts';
import { type Device, type JobOptions, type Ownership, resolveDevice } from '../native/index.ts';
import { checkInteger, checkKnownKeys, checkNumber, checkObject, checkOffsets, type NumberList } from '../validate.ts';

/** Storage of logits: Float32Array is 'f32'; a Uint16Array holds the bits of IEEE half floats or of bfloat16s. */
export type LogitsDtype = 'f32' | 'f16' | 'bf16';

/** Logits and the tokens to score. */
export interface LogitsInput {
  /** [rows, vocab], row-major: row r holds the logits that predict targets[r]. -inf entries are fine. */
  readonly logits: Float32Array | Uint16Array;
  /** 'f32' for a Float32Array (its default); 'f16' or 'bf16' for a Uint16Array (no default). */
  readonly dtype?: LogitsDtype;
  /** Vocabulary size, in [1, 2^31 - 1]. */
  readonly vocab: number;
  /** [rows]: token ids in [0, vocab); -1 marks a row that is neither read nor scored. */
  readonly targets: Int32Array;
  /** [responses + 1]: response i is rows offsets[i] .. offsets[i+1]; from 0 to rows, never falling. Default: one response. */
  readonly offsets?: NumberList;
}

/** Which outputs to compute besides the sequence sums. All come from the same pass over the logits. */
export interface ScoreOutputs {
  /** Token log-probs. Default true. */
  readonly token?: boolean;
  /** log sum_j exp(x_j / T). Default false. */
  readonly logZ?: boolean;
  /** Entropy of each row's distribution. Default false. */
  readonly entropy?: boolean;
  /** Rank of each target. Default false. */
  readonly rank?: boolean;
}

export interface ScoreSyncOptions {
  /** Logits are divided by it. In [1e-6, 1e6]; default 1. */
  readonly temperature?: number;
  readonly outputs?: ScoreOutputs;
  /** Default 'auto': the best there is. */
  readonly device?: Device;
  /**
   * What a row with a NaN, a +inf or nothing but -inf does: 'error' (default) ends the call with ERR_COVN_NON_FINITE
   * naming the first such row; 'propagate' makes its outputs NaN and lists it in `nonFiniteRows`.
   */
  readonly nonFinite?: 'error' | 'propagate';
}

export interface ScoreOptions extends ScoreSyncOptions, JobOptions {
  /** What becomes of `logits` while the call runs. Default 'copy'. */
  readonly ownership?: Ownership;
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
  /** With `ownership: 'transfer'`: the logits, handed back. */
  readonly logits?: Float32Array | Uint16Array;
}

const inputKeys = ['logits', 'dtype', 'vocab', 'targets', 'offsets'];
const syncKeys = ['temperature', 'outputs', 'device', 'nonFinite'];
const outputKeys = ['token', 'logZ', 'entropy', 'rank'];
export const asyncKeys = [...syncKeys, 'threads', 'signal', 'onProgress', 'ownership'];

function checkDtype({ logits, dtype }: LogitsInput): LogitsDtype {
  if (logits instanceof Float32Array) {
    if (dtype !== undefined && dtype !== 'f32') throw typeError("'f32' (logits is a Float32Array)", 'dtype', dtype);
    return 'f32';
  }
  if (!(logits instanceof Uint16Array)) throw typeError('a Float32Array or a Uint16Array', 'logits', logits);
  if (dtype !== 'f16' && dtype !== 'bf16') {
    throw typeError("'f16' or 'bf16' (logits is a Uint16Array)", 'dtype', dtype);
  }
  return dtype;
}

function checkTargets(targets: Int32Array, vocab: number): void {
  for (let row = 0; row < targets.length; row++) {
    const target = targets[row]!;
    if (target < -1 || target >= vocab) {
      throw rangeError(`an integer in [-1, ${vocab - 1}]`, `targets[${row}]`, target);
    }
  }
}

function allocateOutputs(outputs: ScoreOutputs, rows: number, responses: number) {
  checkObject(outputs, 'outputs');
  checkKnownKeys(outputs, outputKeys, 'outputs');
  return {
    sequence: new Float64Array(responses),
    ...((outputs.token ?? true) && { token: new Float32Array(rows) }),
    ...((outputs.logZ ?? false) && { logZ: new Float64Array(rows) }),
    ...((outputs.entropy ?? false) && { entropy: new Float32Array(rows) }),
    ...((outputs.rank ?? false) && { rank: new Int32Array(rows) }),
  };
}

/** Checks everything; takes and copies nothing. `outputs` are the arrays that the addon fills. */
export function scoreRequest(input: LogitsInput, options: ScoreSyncOptions, knownOptions = syncKeys) {
  checkObject(input, 'the input');
  checkKnownKeys(input, inputKeys, 'the input');
  checkObject(options, 'options');
  checkKnownKeys(options, knownOptions, 'options');
  const dtype = checkDtype(input);
  const vocab = checkInteger(input.vocab, 'vocab', 1, 2 ** 31 - 1);
  if (!(input.targets instanceof Int32Array)) throw typeError('an Int32Array', 'targets', input.targets);
  const rows = input.targets.length;
  if (input.logits.length !== rows * vocab) {
    throw shapeError(`${rows} rows * ${vocab} = ${rows * vocab} elements`, 'logits', `${input.logits.length}`);
  }
  const offsets = checkOffsets(input.offsets ?? [0, rows], rows);
  checkTargets(input.targets, vocab);
  const { nonFinite = 'error' } = options;
  if (nonFinite !== 'error' && nonFinite !== 'propagate')
    throw typeError("'error' or 'propagate'", 'nonFinite', nonFinite);
  const request = {
    logits: input.logits,
    dtype,
    vocab,
    targets: input.targets,
    offsets,
    temperature: checkNumber(options.temperature ?? 1, 'temperature', 1e-6, 1e6),
    propagateNonFinite: nonFinite === 'propagate',
    target: resolveDevice(options.device),
  };
  return { request, outputs: allocateOutputs(options.outputs ?? {}, rows, offsets.length - 1) };
}
