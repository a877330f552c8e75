import { typeError } from '../errors.ts';
import { addon, checkJobOptions, type Device, type JobOptions, resolveDevice, runJob } from '../native/index.ts';
import { checkInteger, checkKnownKeys, checkObject } from '../validate.ts';

export interface MachineOptions extends Omit<JobOptions, 'onProgress'> {
  /** The memory to read; its contents do not matter, but must have been written (untouched pages need not exist). */
  readonly memory?: SharedArrayBuffer;
  /** Without `memory`: bytes to allocate for it, in [4, 2^36]. Default 1 GiB. Caches answer for what fits them. */
  readonly bytes?: number;
  /** Measurements of each kind, of which the median is the result; in [1, 1000]. Default 7. */
  readonly repeats?: number;
  /** Default 'auto': the best there is. */
  readonly device?: Device;
}

export interface MachineLimits {
  /** Reading of memory, GB/s (1e9 bytes a second). */
  readonly read: number;
  /** Multiply-adds of floats in registers, GFLOP/s (a multiply-add counts as two operations). */
  readonly fma: number;
  /** Worker threads used. */
  readonly threads: number;
  /** The device that ran the measurements. */
  readonly device: string;
  /** Bytes read in each measurement. */
  readonly bytes: number;
}

const keys = ['memory', 'bytes', 'repeats', 'device', 'threads', 'signal'];

// Each about a millisecond of one thread: long enough to make starting a job vanish, short enough to repeat.
const FMA_CHUNKS_PER_THREAD = 24;

function checkKeys(options: unknown): void {
  checkObject(options, 'options');
  checkKnownKeys(options, keys, 'options');
}

function checkMemory({ memory, bytes = 2 ** 30 }: MachineOptions): Float32Array {
  if (memory === undefined) {
    const length = Math.floor(checkInteger(bytes, 'bytes', 4, 2 ** 36) / 4);
    return new Float32Array(new SharedArrayBuffer(4 * length)).fill(1);
  }
  if (!(memory instanceof SharedArrayBuffer)) throw typeError('a SharedArrayBuffer', 'memory', memory);
  checkInteger(memory.byteLength, 'memory.byteLength', 4);
  return new Float32Array(memory, 0, Math.floor(memory.byteLength / 4));
}

/** The median rate of a job that resolves to the amount of its work: units a nanosecond. */
async function medianRate(repeats: number, run: () => Promise<number>): Promise<number> {
  await run(); // pages mapped, threads awake
  const rates: number[] = [];
  for (let i = 0; i < repeats; i++) {
    const start = performance.now();
    const work = await run();
    rates.push(work / (1e6 * (performance.now() - start)));
  }
  rates.sort((a, b) => a - b);
  return rates[rates.length >> 1]!;
}

/**
 * The limits that rates of other calls are compared with: how fast this machine reads memory and multiplies and adds
 * floats, on covn's own threads. Reading is measured with and without software prefetching, and the better one counts.
 * The machine should be idle; a call takes about 15 readings of the memory and half a second.
 *
 * @throws (as a rejection) TypeError (ERR_COVN_DTYPE), RangeError (ERR_COVN_RANGE), CovnError (ERR_COVN_DEVICE,
 *   ERR_COVN_ADDON), or the reason of `signal`
 */
export async function machineLimits(options: MachineOptions = {}): Promise<MachineLimits> {
  checkKeys(options);
  checkJobOptions(options);
  const repeats = checkInteger(options.repeats ?? 7, 'repeats', 1, 1000);
  const target = resolveDevice(options.device, 'readMemory');
  const threads = Math.min(options.threads ?? Number.POSITIVE_INFINITY, addon().threadCount());
  options.signal?.throwIfAborted();
  const memory = checkMemory(options);
  const read = (prefetch: boolean) =>
    medianRate(repeats, () => runJob<number>('readMemory', { memory, prefetch, target }, options));
  const plain = await read(false);
  const prefetched = await read(true);
  const chunks = FMA_CHUNKS_PER_THREAD * threads;
  const fma = await medianRate(repeats, () => runJob<number>('multiplyAdd', { chunks, target }, options));
  return { read: Math.max(plain, prefetched), fma, threads, device: target, bytes: memory.byteLength };
}
