import { CovnError, describe, typeError } from '../errors.ts';
import { type Addon, addon, type StartJob, type TargetInfo } from './addon.ts';
import { type CudaOperation, cudaAddon, cudaOperations, cudaProbe, type GpuInfo } from './cuda.ts';

/**
 * Where a call runs. 'cpu' and 'auto': the best instruction set that this processor has; 'cuda': the GPU; or one
 * instruction set by name ('scalar', 'neon', 'avx2', 'avx512'), for tests and comparisons. One that is asked for and not
 * there is an error (ERR_COVN_DEVICE), never a fallback. 'auto' does not choose a GPU as long as nothing has been measured
 * there; results say what ran.
 */
export type Device = 'auto' | 'cpu' | 'cuda' | 'scalar' | 'neon' | 'avx2' | 'avx512';

/** Something that calls can run on. */
export interface DeviceInfo {
  readonly name: 'scalar' | 'neon' | 'avx2' | 'avx512' | 'cuda';
  readonly available: boolean;
  /** Why it is not available; empty when it is. */
  readonly reason: string;
  /** The GPU, where 'cuda' is available. */
  readonly gpu?: GpuInfo;
}

/** A job of the addons by its name. */
export type Operation = { [K in keyof Addon]: Addon[K] extends StartJob ? K : never }[keyof Addon];

const targets = () => addon().targets() as (TargetInfo & DeviceInfo)[];

/**
 * Every device covn knows, with whether it can be used here. Where the CUDA addon is built, the first call waits for a child
 * process that tries it. Throws CovnError ERR_COVN_ADDON without the addon.
 */
export function devices(): DeviceInfo[] {
  const found = cudaProbe();
  const cuda: DeviceInfo = found.available
    ? { name: 'cuda', available: true, reason: '', gpu: found.gpu }
    : { name: 'cuda', available: false, reason: found.reason };
  return [...targets(), cuda];
}

/** What is thrown where a device that was asked for cannot be used. */
export function unavailable(device: unknown, reason: string): CovnError {
  return new CovnError(
    'ERR_COVN_DEVICE',
    `Expected an available device for device but received ${describe(device)} (${reason})`,
  );
}

const isCudaOperation = (operation: string): operation is CudaOperation =>
  (cudaOperations as readonly string[]).includes(operation);

/** Throws CovnError ERR_COVN_DEVICE unless the operation runs on the GPU here. */
function checkCuda(operation: string): void {
  if (!isCudaOperation(operation))
    throw unavailable('cuda', 'this operation has no CUDA path; docs/cuda.md lists those that do');
  const found = cudaProbe();
  if (!found.available) throw unavailable('cuda', found.reason);
  if (!found.operations.includes(operation)) throw unavailable('cuda', `this CUDA addon does not have ${operation}`);
}

/**
 * What a `device` option means for an operation: an instruction set, or 'cuda'. Throws TypeError, or CovnError
 * ERR_COVN_DEVICE.
 */
export function resolveDevice(device: unknown, operation: string): string {
  if (device === undefined || device === 'auto' || device === 'cpu') return addon().bestTarget();
  if (device === 'cuda') {
    checkCuda(operation);
    return device;
  }
  const known = targets();
  const found = known.find(({ name }) => name === device);
  if (!found) {
    throw typeError(`one of auto, cpu, ${known.map(({ name }) => name).join(', ')}, cuda`, 'device', device);
  }
  if (!found.available) throw unavailable(device, found.reason);
  return found.name;
}

/** A resolved device as results name it: the emulated one never passes for a GPU. */
export function deviceName(target: string): string {
  if (target !== 'cuda') return target;
  const found = cudaProbe();
  return found.available && found.gpu.emulated ? 'cuda (emulated)' : target;
}

/** A function of an addon that starts jobs, and the one that cancels them. */
export interface Starter {
  readonly start: StartJob;
  cancelJob(id: number): void;
}

/** The addon's function that runs an operation on a resolved device. */
export function starterOf(operation: Operation, target: unknown): Starter {
  const native = target === 'cuda' && isCudaOperation(operation) ? cudaAddon() : addon();
  return { start: (native as Addon)[operation], cancelJob: (id) => native.cancelJob(id) };
}

/** What wakes the GPU. */
export function openingStarter(): Starter {
  const native = cudaAddon();
  return { start: native.openDevice, cancelJob: (id) => native.cancelJob(id) };
}
