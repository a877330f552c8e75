/** Loading of the native addon, and the shape of what it exports. Everything else in the library calls it through here. */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CovnError, type ErrorCode } from '../errors.ts';

/** How the native layer reports a failure; the TypeScript face makes the error. */
export interface NativeStatus {
  readonly code: ErrorCode | 'cancelled';
  readonly message: string;
}

export type Settled = (status: NativeStatus | null, result: unknown) => void;
export type Progress = (fraction: number) => void;
/** Starts a job and gives its id, or says why not. */
export type StartJob = (request: object, settled: Settled, progress?: Progress) => number | NativeStatus;

export interface TargetInfo {
  readonly name: string;
  readonly available: boolean;
  readonly reason: string;
}

/** A model that the addon keeps. */
export type NativeModel = object & { readonly __native: never };

/** The addon's exports (native/binding). */
export interface Addon {
  targets(): TargetInfo[];
  bestTarget(): string;
  threadCount(): number;
  cancelJob(id: number): void;
  /** Frees the memory of arrays that nothing reads any more; every view of it has length 0 from then on. */
  detach(...arrays: readonly NodeJS.TypedArray[]): void;
  /** Tells V8 of so many bytes more (or less) outside of its heap, and gives how many it then believes to be there. */
  reportMemory(change: number): number;
  /** What was kept under a name in this process, by whichever of its threads; `text` is kept. */
  finding(name: string, text?: string): string | undefined;
  scoreLogits: StartJob;
  scorePair: StartJob;
  scoreLogitsSync(request: object): Float64Array | NativeStatus;
  scoreHidden: StartJob;
  scoreHiddenSync(request: object): Float64Array | NativeStatus;
  sumTokens(request: object): NativeStatus | null;
  pairwiseCounts: StartJob;
  tournament: StartJob;
  sampleLogits: StartJob;
  makeTabularModel(request: object): NativeModel | NativeStatus;
  scoreTabular: StartJob;
  sampleTabular: StartJob;
  bestOfN: StartJob;
  makeLinearModel(request: object): NativeModel | NativeStatus;
  linearModelAt(request: object): NativeModel | NativeStatus;
  linearGradient: StartJob;
  fit: StartJob;
  scoreTestTime: StartJob;
  sampleTestTime: StartJob;
  exactKl: StartJob;
  exactLogRatios: StartJob;
  inherentVariance: StartJob;
  readMemory: StartJob;
  multiplyAdd: StartJob;
}

// This file lies two folders below the package's root, as source (lib/native) and as built (dist/native).
export const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');

/**
 * Where the addon is. node-gyp's build unless COVN_ADDON names another file: a build of one's own, or cmake's.
 */
export function addonPath(): string {
  return process.env.COVN_ADDON ?? path.join(packageRoot, 'build', 'Release', 'covn.node');
}

let loaded: Addon | undefined;

/** The addon, loaded at first use. Throws CovnError ERR_COVN_ADDON when it is not built or does not load. */
export function addon(): Addon {
  if (loaded) return loaded;
  const file = addonPath();
  if (!existsSync(file)) {
    throw new CovnError(
      'ERR_COVN_ADDON',
      `Expected the native addon at ${file} but found nothing. Build it with "npm rebuild covn" (in a checkout: "npm run build"); it needs a C++20 compiler, make and Python 3.`,
    );
  }
  try {
    loaded = createRequire(import.meta.url)(file) as Addon;
  } catch (cause) {
    throw new CovnError('ERR_COVN_ADDON', `Expected the native addon at ${file} to load but it failed: ${cause}`, {
      cause,
    });
  }
  return loaded;
}
