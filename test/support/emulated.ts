/**
 * The emulated CUDA addon: the CUDA backend from TypeScript to its kernels, which an emulator runs on this processor.
 * `npm test` builds it before the tests (`node scripts/build-cuda.mjs --emulated`). What it shows is the code, not a GPU.
 */

import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect } from 'vitest';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
const file = path.join(root, 'build-cuda', 'Release', 'covn_cuda_emulated.node');
const missing = !existsSync(file);
if (missing && process.env.COVN_REQUIRE_EMULATED) throw new Error(`Expected ${file} but found nothing`);
const why = missing ? ' (skipped: not built, which needs cmake and a C++ compiler)' : '';

// Each file of tests is a process of its own.
process.env.COVN_CUDA_ADDON = file;

/** Tests on the emulated device, skipped where it could not be built. */
export function describeEmulated(name: string, body: () => void): void {
  describe.skipIf(missing)(`on the emulated device${why}: ${name}`, body);
}

export function expectClose(actual: ArrayLike<number>, wanted: ArrayLike<number>, bound: number): void {
  expect(actual.length).toBe(wanted.length);
  for (let i = 0; i < wanted.length; i++) {
    if (Number.isNaN(wanted[i])) expect(actual[i]).toBeNaN();
    else if (actual[i] !== wanted[i]) expect(Math.abs(actual[i]! - wanted[i]!)).toBeLessThanOrEqual(bound);
  }
}

/** What becomes of a call, as far as a caller can tell errors apart. */
export function outcome(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => 'nothing',
    (error) => ({ kind: error.constructor.name, code: error.code, message: error.message }),
  );
}
