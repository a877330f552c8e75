import { CovnError, describe, typeError } from '../errors.ts';
import { addon, type TargetInfo } from './addon.ts';

/**
 * Where a call runs. 'cpu' and 'auto': the best instruction set that this processor has; 'cuda': the GPU; or one
 * instruction set by name ('scalar', 'neon', 'avx2', 'avx512'), for tests and comparisons. One that is asked for and not
 * there is an error (ERR_COVN_DEVICE), never a fallback.
 */
export type Device = 'auto' | 'cpu' | 'cuda' | 'scalar' | 'neon' | 'avx2' | 'avx512';

/** Something that calls can run on. */
export interface DeviceInfo {
  readonly name: 'scalar' | 'neon' | 'avx2' | 'avx512' | 'cuda';
  readonly available: boolean;
  /** Why it is not available; empty when it is. */
  readonly reason: string;
}

const cuda: DeviceInfo = { name: 'cuda', available: false, reason: 'this version has no CUDA backend' };

/** Every device covn knows, with whether it can be used here. Throws CovnError ERR_COVN_ADDON without the addon. */
export function devices(): DeviceInfo[] {
  return [...(addon().targets() as (TargetInfo & DeviceInfo)[]), cuda];
}

/** The instruction set that a `device` option means. Throws TypeError, or CovnError ERR_COVN_DEVICE. */
export function resolveDevice(device: unknown = 'auto'): string {
  if (device === 'auto' || device === 'cpu') return addon().bestTarget();
  const known = devices();
  const found = known.find(({ name }) => name === device);
  if (!found) {
    throw typeError(`one of auto, cpu, ${known.map(({ name }) => name).join(', ')}`, 'device', device);
  }
  if (!found.available) {
    throw new CovnError(
      'ERR_COVN_DEVICE',
      `Expected an available device for device but received ${describe(device)} (${found.reason})`,
    );
  }
  return found.name;
}
