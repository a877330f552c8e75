/** `covn doctor`: what this installation can do here. */

import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { addon, addonPath, cudaAddonPath, type DeviceInfo, devices } from '../../native/index.ts';
import type { Context } from '../context.ts';
import { table } from '../format.ts';

/** What the native layer says of itself; the error where it does not load. */
function inspect() {
  const machine = {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    addon: addonPath(),
    cudaAddon: cudaAddonPath(),
    processors: availableParallelism(),
  };
  try {
    return { ...machine, threads: addon().threadCount(), devices: devices(), error: null };
  } catch (error) {
    const { code = 'ERR_COVN_ADDON', message } = error as Error & { code?: string };
    return { ...machine, threads: null, devices: [], error: { code, message } };
  }
}

/** The last column: why a device cannot be used, or which GPU it is. */
function remark({ reason, gpu }: DeviceInfo): string {
  if (!gpu) return reason || '-';
  const memory = `${(gpu.memory / 2 ** 30).toFixed(1)} GiB`;
  const about = `compute capability ${gpu.computeCapability}, ${memory}, driver for CUDA ${gpu.driver}, built with CUDA ${gpu.runtime}`;
  return gpu.emulated ? 'emulated on this processor, for tests: not a GPU' : `${gpu.name}, ${about}`;
}

/** Exit code: 0 where the addon loads, else 1. */
function run(context: Context): number {
  const found = inspect();
  const { colors, say } = context;
  context.emit({ command: 'doctor', ...found });
  say(`Node.js     ${found.node} on ${found.platform}, ${found.processors} processors`);
  say(`Addon       ${found.addon}`);
  if (found.error) {
    say(`            ${colors.red('does not load')}: ${found.error.message}`);
    return 1;
  }
  say(`            ${colors.green('loads')}, ${found.threads} threads\n`);
  const rows = found.devices.map((device) => [device.name, device.available ? 'yes' : 'no', remark(device)]);
  say(table(['device', 'available', 'remark'], rows, colors.bold));
  return 0;
}

export function addDoctor(program: Command, context: (json?: boolean) => Context, exit: (code: number) => void): void {
  program
    .command('doctor')
    .summary('whether the native addon loads, and which devices there are')
    .description('Checks the installation: Node.js, the native addon, devices. Exit code 1 if the addon cannot load.')
    .option('--json', 'print one JSON document, nothing else')
    .action((flags: { json?: boolean }) => exit(run(context(flags.json))));
}
