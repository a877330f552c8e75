/**
 * The CUDA addon, in a file of its own. A driver can crash or hang whoever loads it, so a child process tries it first, once
 * for a process and only when a GPU is asked for or listed.
 */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { CovnError } from '../errors.ts';
import { type Addon, addon, type NativeStatus, packageRoot, type StartJob } from './addon.ts';

/** A CUDA device. */
export interface GpuInfo {
  /** NVIDIA's name of it; 'emulated' for the tests' addon that runs kernels on this processor. */
  readonly name: string;
  /** As '9.0'. */
  readonly computeCapability: string;
  /** Bytes. */
  readonly memory: number;
  /** The newest CUDA that the driver runs, as '13.0'. */
  readonly driver: string;
  /** The CUDA that the addon was built with. */
  readonly runtime: string;
  readonly emulated: boolean;
}

/** The operations that have a CUDA path: the names of their functions in both addons. */
export const cudaOperations = [
  'scoreLogits',
  'scoreHidden',
  'scorePair',
  'pairwiseCounts',
  'sampleLogits',
  'bestOfN',
] as const;
export type CudaOperation = (typeof cudaOperations)[number];

/** The CUDA addon's exports (native/binding/cuda_addon.cpp). */
export interface CudaAddon extends Pick<Addon, 'cancelJob' | 'threadCount' | CudaOperation> {
  deviceInfo(): GpuInfo | NativeStatus;
  /** Wakes the device: without it, the first call of another function does, on the JavaScript thread. */
  openDevice: StartJob;
}

/** What the child process found. */
export type CudaProbe =
  | { readonly available: true; readonly gpu: GpuInfo; readonly operations: readonly string[] }
  | { readonly available: false; readonly reason: string };

/** Where the CUDA addon is: beside the CPU's in the package, unless COVN_CUDA_ADDON names another file. */
export function cudaAddonPath(): string {
  return process.env.COVN_CUDA_ADDON ?? path.join(packageRoot, 'build-cuda', 'Release', 'covn_cuda.node');
}

// Loads the addon, wakes the device, which is where drivers fail, and says on a channel of its own what there is: a library
// may print where it likes.
const script = `
  const { writeSync } = require('node:fs');
  const say = (found) => {
    writeSync(3, JSON.stringify(found));
    process.exit();
  };
  try {
    const addon = require(process.argv[1]);
    const info = addon.deviceInfo();
    if ('message' in info) say({ reason: info.message });
    const gpu = { gpu: info, operations: Object.keys(addon) };
    addon.openDevice({ threads: 0 }, (status) => say(status ? { reason: status.message } : gpu));
  } catch (error) {
    say({ reason: 'the addon does not load: ' + (error && error.message ? error.message : error) });
  }`;

/** A device that has to be woken answers within seconds; on a machine with many, within some more. */
const defaultLimit = 30;

function limitSeconds(): number {
  const seconds = Number(process.env.COVN_CUDA_PROBE_SECONDS ?? defaultLimit);
  return seconds > 0 && seconds <= 3600 ? seconds : defaultLimit;
}

function lastLine(text: string | null | undefined): string {
  const line = text?.trim().split('\n').at(-1)?.trim();
  return line ? `: ${line.slice(0, 200)}` : '';
}

function askChild(file: string): CudaProbe {
  const seconds = limitSeconds();
  const { NODE_OPTIONS: _, ...inherited } = process.env;
  const child = spawnSync(process.execPath, ['-e', script, file], {
    // Node's own flags of this process are not for the child. (In Electron, the executable is Node only if told so.)
    env: { ...inherited, ELECTRON_RUN_AS_NODE: '1' },
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    timeout: seconds * 1000,
    killSignal: 'SIGKILL',
    windowsHide: true,
  });
  const refuse = (reason: string): CudaProbe => ({ available: false, reason });
  if (child.error && 'code' in child.error && child.error.code === 'ETIMEDOUT') {
    return refuse(`the addon did not answer within ${seconds} s in a child process`);
  }
  if (child.error) return refuse(`no child process could try the addon: ${child.error.message}`);
  if (child.signal) return refuse(`the addon crashed a child process (${child.signal})${lastLine(child.stderr)}`);
  try {
    const { reason, gpu, operations } = JSON.parse(child.output[3] ?? '');
    return gpu ? { available: true, gpu, operations } : refuse(String(reason));
  } catch {
    return refuse(`the addon ended a child process (exit code ${child.status})${lastLine(child.stderr)}`);
  }
}

function probe(file: string): CudaProbe {
  if (!existsSync(file)) {
    return {
      available: false,
      reason: `the CUDA addon is not built: nothing at ${file} ("npm run build:cuda", docs/cuda.md)`,
    };
  }
  // What one worker_thread has found out holds for all of the process.
  const name = `cuda ${path.resolve(file)}`;
  const known = addon().finding(name);
  if (known !== undefined) return JSON.parse(known) as CudaProbe;
  const found = askChild(file);
  addon().finding(name, JSON.stringify(found));
  return found;
}

/**
 * Whether there is a CUDA device that covn can use, and which. The first call starts a child process and waits for it: some
 * hundred milliseconds, more where drivers are slow.
 */
export function cudaProbe(): CudaProbe {
  return probe(path.resolve(cudaAddonPath()));
}

let loaded: CudaAddon | undefined;

/** The CUDA addon, which `cudaProbe` has found to be available. Throws CovnError ERR_COVN_DEVICE where it does not load. */
export function cudaAddon(): CudaAddon {
  if (loaded) return loaded;
  const file = path.resolve(cudaAddonPath());
  try {
    loaded = createRequire(import.meta.url)(file) as CudaAddon;
  } catch (cause) {
    throw new CovnError('ERR_COVN_DEVICE', `Expected the CUDA addon at ${file} to load but it failed: ${cause}`, {
      cause,
    });
  }
  return loaded;
}
