/** The parts of bench/gpu that need no GPU: arguments, and the tables of a recorded run (whose figures are made up). */

import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { temporaryFiles } from './support/files.ts';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const folder = path.join(root, 'bench', 'gpu');
const recorded = path.join(root, 'test', 'fixtures', 'gpu-bench.json');
const { file } = temporaryFiles();

const python = process.env.COVN_PYTHON || 'python3';
const environment = { ...process.env, PYTHONDONTWRITEBYTECODE: '1' };
const version = spawnSync(python, ['--version'], { encoding: 'utf8' });
const missing = version.status === 0 ? '' : ` (skipped: ${python} does not run here)`;

function gpu(...argv: string[]) {
  const script = path.join(folder, 'gpu.py');
  const { status, stdout, stderr } = spawnSync(python, [script, ...argv], { encoding: 'utf8', env: environment });
  return { status, stdout, stderr };
}

const markers = ['<!-- gpu: written by bench/gpu/gpu.py -->', '<!-- /gpu -->'] as const;

describe.skipIf(missing !== '')(`the GPU benchmark${missing}`, () => {
  it('is Python that compiles', () => {
    const sources = readdirSync(folder).filter((name) => name.endsWith('.py'));
    expect(sources.length).toBeGreaterThan(3);
    const compile = 'import sys\nfor name in sys.argv[1:]: compile(open(name).read(), name, "exec")';
    execFileSync(python, ['-c', compile, ...sources], { cwd: folder });
    for (const name of sources) {
      expect(readFileSync(path.join(folder, name), 'utf8').split('\n').length, name).toBeLessThan(400);
    }
  });

  it('writes a table for each case: rates, of the limit, first row against this, errors, memory, what failed', () => {
    const { status, stdout, stderr } = gpu('--from', recorded);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain(
      'NVIDIA Made Up, compute capability 9.0, driver 580.1, CUDA 13.0, torch 2.9.0, Triton 3.5.0, covn 0.1.0, 2000-01-01.',
    );
    expect(stdout).toContain('before: clocks.sm 1980 MHz; after: clocks.sm 1755 MHz.');
    const rows = stdout
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .map((line) => line.slice(2, -2).split(/ *\| */));
    expect(rows).toEqual([
      [
        ...['scoreLogits: bf16, 8192 x 128256', 'GB/s', 'of copy (2800 GB/s)', 'ms', 'first row / this', 'error'],
        'memory',
      ],
      expect.anything(),
      ['covn (token, logZ, entropy, rank)', '2627', '0.938', '0.8', '1x', '1.2e-07', '6.29 MB'],
      ['torch logsumexp + gather (token)', '263', '0.094', '8', '10x', '1.2e-06', '4203 MB'],
      ["Triton online softmax (token): failed: no Triton here: No module named 'triton'", '', '', '', '', '', ''],
      ['scoreHidden: bf16, 8192 x 4096 x 128256', 'TFLOP/s', 'ms', 'first row / this', 'error', 'memory'],
      expect.anything(),
      ['covn', '500', '17.2', '1x', '2.0e-05', '59.4 MB'],
    ]);
  });

  it('puts the tables between their markers, instead of older ones, and leaves the rest', () => {
    const results = file(`# Results\n\n## GPU\n\n${markers[0]}\n\nolder\n\n${markers[1]}\n\n## More\n`, 'results.md');
    for (const _ of [1, 2]) {
      expect(gpu('--from', recorded, '--results', results).status).toBe(0);
      const text = readFileSync(results, 'utf8');
      expect(text).toMatch(/^# Results\n\n## GPU\n\n<!-- gpu/);
      expect(text.endsWith(`${markers[1]}\n\n## More\n`)).toBe(true);
      expect(text.split(markers[0])).toHaveLength(2);
      expect(text).not.toContain('older');
      expect(text).toMatch(/ 500 \|/);
    }
    const without = file('# Results\n', 'fresh.md');
    expect(gpu('--from', recorded, '--results', without).status).toBe(0);
    expect(readFileSync(without, 'utf8')).toMatch(/^# Results\n\n## GPU\n\n<!-- gpu.* -->\n[\s\S]*<!-- \/gpu -->\n$/);
  });

  it('copies every number with --json', () => {
    const json = file('', 'copy.json');
    expect(gpu('--from', recorded, '--json', json).status).toBe(0);
    expect(JSON.parse(readFileSync(json, 'utf8'))).toEqual(JSON.parse(readFileSync(recorded, 'utf8')));
  });

  it('refuses what it does not know with 2, and names its cases', () => {
    expect(gpu('--slow').status).toBe(2);
    const { status, stderr } = gpu('--only', 'scoreTokens');
    expect(status).toBe(2);
    for (const name of [
      'scoreLogits',
      'scorePair',
      'sampleLogits',
      'scoreHidden',
      'pairwise',
      'tailCounts',
      'bestOfN',
    ]) {
      expect(stderr).toContain(name);
    }
  });

  it('has its place in RESULTS.md', () => {
    const text = readFileSync(path.join(root, 'bench', 'RESULTS.md'), 'utf8');
    expect(text).toContain(`## GPU\n\n${markers[0]}\n`);
    expect(text).toContain(markers[1]);
  });
});
