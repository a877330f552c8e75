/** How a CUDA addon that is not there, or not sound, is told of: by its reason, from a child process. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { devices, scoreLogits, scoreLogitsSync, TabularModel } from '../lib/index.ts';
import { covn } from './support/cli.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'covn-cuda-'));
const before = { ...process.env };
afterEach(() => {
  for (const name of ['COVN_CUDA_ADDON', 'COVN_CUDA_PROBE_SECONDS']) {
    if (before[name] === undefined) delete process.env[name];
    else process.env[name] = before[name];
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A stand-in for the addon, which notes the process of each that loads it. */
function pretend(name: string, body: string): { loads: () => number[] } {
  const file = path.join(folder, `${name}.cjs`);
  const notes = `${file}.loads`;
  const note = `require('node:fs').appendFileSync(${JSON.stringify(notes)}, process.pid + '\\n');`;
  writeFileSync(file, `${note}\n${body}`);
  process.env.COVN_CUDA_ADDON = file;
  return { loads: () => (existsSync(notes) ? readFileSync(notes, 'utf8').trim().split('\n').map(Number) : []) };
}

const cuda = () => devices().find(({ name }) => name === 'cuda')!;
const input = { logits: new Float32Array(8), vocab: 4, targets: new Int32Array(2) };

describe('a CUDA addon', () => {
  test('that is not built is unavailable for that reason', async () => {
    process.env.COVN_CUDA_ADDON = path.join(folder, 'none.node');
    expect(cuda()).toEqual({
      name: 'cuda',
      available: false,
      reason: expect.stringMatching(/not built: nothing at .*none\.node .*build:cuda/),
    });
    await expect(scoreLogits(input, { device: 'cuda' })).rejects.toMatchObject({
      code: 'ERR_COVN_DEVICE',
      message: expect.stringMatching(/^Expected an available device for device but received 'cuda' \(.*not built/),
    });
  });

  test('that is no addon', () => {
    process.env.COVN_CUDA_ADDON = path.join(folder, 'text.node');
    writeFileSync(process.env.COVN_CUDA_ADDON, 'no shared object');
    expect(cuda()).toMatchObject({ available: false, reason: expect.stringContaining('the addon does not load') });
  });

  test.each([
    ['crashes', 'process.abort();', /crashed a child process \(SIGABRT\)/],
    ['is shot', "process.kill(process.pid, 'SIGSEGV'); for (;;);", /crashed a child process \(SIGSEGV\)/],
    ['exits', "console.error('no licence'); process.exit(3);", /ended a child process \(exit code 3\): no licence/],
    ['throws', "throw new Error('libcuda.so.1: no such file');", /does not load: libcuda\.so\.1/],
    [
      'has no device',
      "exports.deviceInfo = () => ({ code: 'x', message: 'no CUDA device was found' });",
      /no CUDA device/,
    ],
    ['hangs', 'for (;;);', /did not answer within 1 s/],
    [
      'does not start its device',
      "exports.deviceInfo = () => ({}); exports.openDevice = (_, settled) => settled({ code: 'x', message: 'in use' });",
      /in use/,
    ],
    [
      'hangs when its device starts',
      'exports.deviceInfo = () => ({}); exports.openDevice = () => setInterval(() => {}, 1000);',
      /did not answer within 1 s/,
    ],
    [
      'crashes when its device starts',
      'exports.deviceInfo = () => ({}); exports.openDevice = () => process.abort();',
      /crashed a child process \(SIGABRT\)/,
    ],
  ])('that %s is unavailable, and this process never loads it', async (name, body, reason) => {
    process.env.COVN_CUDA_PROBE_SECONDS = '1';
    const { loads } = pretend(name.replaceAll(' ', '-'), body);
    expect(cuda()).toMatchObject({ available: false, reason: expect.stringMatching(reason) });
    await expect(scoreLogits(input, { device: 'cuda' })).rejects.toThrow(reason);
    expect((await covn('doctor')).stdout).toMatch(/cuda +no/);
    // One child for all of these.
    expect(loads()).toHaveLength(1);
    expect(loads()).not.toContain(process.pid);
  });

  test('is tried once for all threads of the process', async () => {
    const { loads } = pretend('threads', "exports.deviceInfo = () => ({ message: 'none' });");
    const library = new URL('../dist/index.js', import.meta.url).href;
    const reason = () =>
      new Promise((resolve, reject) => {
        const source = `
          import { parentPort } from 'node:worker_threads';
          import { devices } from ${JSON.stringify(library)};
          parentPort.postMessage(devices().at(-1).reason);`;
        const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
        worker.once('message', resolve).once('error', reject);
      });
    expect(cuda().reason).toBe('none');
    expect(await Promise.all([reason(), reason()])).toEqual(['none', 'none']);
    expect(loads()).toHaveLength(1);
  });

  test('is not tried unless a GPU is asked for', async () => {
    const { loads } = pretend('unasked', 'process.abort();');
    await scoreLogits(input);
    await scoreLogits(input, { device: 'cpu' });
    await expect(scoreLogits(input, { device: 'tpu' as 'cpu' })).rejects.toThrow('scalar');
    expect(loads()).toEqual([]);
  });

  test('without an operation says so', async () => {
    pretend(
      'older',
      `exports.deviceInfo = () => ({ name: 'GPU', emulated: false });
      exports.openDevice = (_, settled) => settled(null);`,
    );
    expect(cuda()).toMatchObject({ available: true, reason: '', gpu: { name: 'GPU' } });
    await expect(scoreLogits(input, { device: 'cuda' })).rejects.toMatchObject({
      code: 'ERR_COVN_DEVICE',
      message: expect.stringContaining('does not have scoreLogits'),
    });
  });

  test('that loads in the child but not here is an error of the device', async () => {
    pretend(
      'once',
      `
      if (process.pid === ${process.pid}) throw new Error('not twice');
      exports.deviceInfo = () => ({ name: 'GPU' });
      exports.openDevice = (_, settled) => settled(null);
      exports.scoreLogits = () => {};`,
    );
    await expect(scoreLogits(input, { device: 'cuda' })).rejects.toMatchObject({
      code: 'ERR_COVN_DEVICE',
      message: expect.stringContaining('not twice'),
    });
  });
});

test("operations without a CUDA path refuse 'cuda', whether there is one or not", async () => {
  process.env.COVN_CUDA_ADDON = path.join(folder, 'none.node');
  const model = new TabularModel({
    vocab: 2,
    logProbs: new Float64Array(2).fill(-Math.LN2),
    next: new Int32Array(2).fill(-1),
    start: [0],
  });
  const refused = { code: 'ERR_COVN_DEVICE', message: expect.stringContaining('no CUDA path') };
  const options = { device: 'cuda' } as const;
  expect(() => scoreLogitsSync(input, options)).toThrow(expect.objectContaining(refused));
  const one = { prompts: [0], tokens: Int32Array.of(0), offsets: [0, 1] };
  await expect(model.logProb(one, options)).rejects.toMatchObject(refused);
  await expect(model.sample([0], { N: 1 }, options)).rejects.toMatchObject(refused);
});
