import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { run } from '../lib/cli/run.ts';
import { temporaryFiles } from './support/files.ts';

const { file } = temporaryFiles();
const compare = fileURLToPath(new URL('../bench/compare.mjs', import.meta.url));

async function bench(...argv: string[]) {
  const text = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => ({
    write: (chunk: string) => {
      text[name] += chunk;
    },
  });
  const code = await run(['bench', ...argv], { stdout: stream('stdout'), stderr: stream('stderr'), env: {} });
  return { code, ...text };
}

const tiny = ['--quick', '--no-peers', '--threads', '1', '--mib', '1', '--dtype', 'f32,bf16', '--vocab', '64,8'];

interface Result {
  suite: string;
  case: string;
  by: string;
  status: string;
  metric?: string;
  value?: number;
  unit?: string;
  ofLimit?: number;
  timesAsFast?: number;
}

describe('covn bench', () => {
  it('prints one JSON document: the machine, the command, and a rate with its unit for each thing timed', async () => {
    const argv = ['--json', ...tiny, 'machine', 'logprob'];
    const { code, stdout, stderr } = await bench(...argv);
    expect([code, stderr]).toEqual([0, '']);
    const { machine, command, results } = JSON.parse(stdout) as { machine: object; command: string; results: Result[] };
    expect(command).toBe(`covn bench ${argv.join(' ')}`);
    expect(machine).toMatchObject({ threads: 1, node: process.versions.node, peers: [] });
    expect([...new Set(results.map(({ suite }) => suite))]).toEqual(['machine', 'logprob']);
    for (const result of results) {
      expect(result, JSON.stringify(result)).toMatchObject({ status: 'measured', unit: expect.any(String) });
      expect(result.value).toBeGreaterThan(0);
    }
    const sized = results.filter(({ case: name }) => /^(f32|bf16), V = (64|8),/.test(name));
    expect(sized.map(({ by }) => by.replace(/ \w+$/, ''))).toEqual(Array(4).fill(['covn', 'plain']).flat());
    for (const { unit, ofLimit, timesAsFast } of sized) {
      expect([unit, ofLimit! > 0, timesAsFast! > 0]).toEqual(['GB/s', true, true]);
    }
  });

  it('prints Markdown tables, and says which functions a build lacks', async () => {
    const { code, stdout } = await bench(...tiny, '--rows', '40', 'tournament', 'best-of-n', 'hidden', 'pair');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {4}covn bench --quick/);
    for (const suite of ['tournament', 'best-of-n', 'hidden', 'pair']) expect(stdout).toContain(`\n| ${suite}: `);
    expect(stdout).toMatch(/\n\| covn avx512|\n\| covn/);
    expect(stdout).toContain('Peers: plain JavaScript only.');
  });

  it('times draws, rollouts and fits, and checks what they gave', async () => {
    const { code, stdout } = await bench(
      '--quick',
      '--no-peers',
      '--json',
      '--threads',
      '1',
      '--rows',
      '2',
      'reward', // the last, wherever it is named
      'sample',
      'model',
      'learn',
    );
    expect(code).toBe(0);
    const { results } = JSON.parse(stdout) as { results: Result[] };
    for (const { status, value } of results) expect([status, value! >= 0]).toEqual(['measured', true]);
    const names = new Set(
      results.map(({ suite, by }) => `${suite} ${by.split(',')[0]!.replace(/ (avx512|avx2|neon|scalar)/, '')}`),
    );
    const suites = ['sample', 'model', 'learn'];
    expect([...names]).toEqual([
      ...suites.flatMap((suite) => [`${suite} covn`, `${suite} plain JavaScript`]),
      'reward covn',
    ]);
  });

  it('refuses what it does not know with 2', async () => {
    for (const argv of [['logprobs'], ['--dtype', 'f64'], ['--mib', '0'], ['--vocab', '1.5'], ['--threads', 'two']]) {
      const { code, stdout } = await bench(...argv);
      expect([argv, code, stdout]).toEqual([argv, 2, '']);
    }
  });

  it('sets two runs side by side and marks what differs', async () => {
    const machine = { covn: '1', device: 'avx2', threads: 2, processor: 'a processor' };
    const result = { suite: 's', case: 'c', by: 'covn', metric: 'rate', status: 'measured', unit: 'GB/s' };
    const document = (value: number, ofLimit: number) =>
      file(JSON.stringify({ machine, command: 'covn bench', results: [{ ...result, value, ofLimit }] }));
    const node = promisify(execFile);
    // Twice the rate on a machine twice as fast is no difference.
    const same = await node(process.execPath, [compare, document(10, 0.5), document(20, 0.5)]);
    expect(same.stdout).toMatch(/\| s: c, covn \| +10.0 \| +20.0 \| GB\/s \| +2.000 \| +1.000 \| +\|/);
    const slower = await node(process.execPath, [compare, document(10, 0.5), document(9, 0.4)]);
    expect(slower.stdout).toMatch(/0\.900 \| +0\.800 \| +LESS/);
    await expect(node(process.execPath, [compare, document(1, 1)])).rejects.toMatchObject({ code: 2 });
    await expect(node(process.execPath, [compare, document(1, 1), file('{}')])).rejects.toMatchObject({ code: 1 });
  });
});
