// The machine's own limits, on every device and with every number of threads up to the one asked for.

import { gaussians } from './data.mjs';
import { figure } from './group.mjs';

export async function machine(bench) {
  const { covn, signal } = bench;
  const bytes = (bench.sizes.mib ?? (bench.quick ? 64 : 1024)) * 2 ** 20;
  const memory = gaussians(bytes / 4, 'f32', 5).buffer;
  const devices = covn.devices().filter(({ name, available }) => available && name !== 'cuda');
  const counts = [...new Set([1, bench.threads])];
  const measured = [];
  for (const { name: device } of devices.reverse()) {
    for (const threads of counts) {
      bench.step(`machine: ${device}, ${threads} threads`);
      const limits = await covn.machineLimits({ memory, threads, device, signal });
      measured.push({ by: `${device}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`, ...limits });
    }
  }
  const reading = `reading ${bytes / 2 ** 20} MiB`;
  bench.add(measured.map(({ by, read }) => figure('machine', reading, by, 'read', read, 'GB/s')));
  bench.add(measured.map(({ by, fma }) => figure('machine', 'f32 multiply-adds', by, 'fma', fma, 'GFLOP/s')));
}
