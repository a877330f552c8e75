import { spawnSync } from 'node:child_process';
import { existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { run } from '../lib/cli/run.ts';
import { temporaryFiles } from './support/files.ts';

const { file } = temporaryFiles();

/** An .npy file of log-probs, [rows, columns]. */
function npy(rows: number[][]): string {
  const shape = `(${rows.length}, ${rows[0]!.length})`;
  const header = `{'descr': '<f8', 'fortran_order': False, 'shape': ${shape}, }\n`;
  const prefix = Buffer.from('\x93NUMPY\x01\0\0\0', 'latin1');
  prefix.writeUInt16LE(header.length, 8);
  const data = Buffer.from(Float64Array.from(rows.flat()).buffer);
  return file(Buffer.concat([prefix, Buffer.from(header), data]), 'npy');
}

async function covn(...argv: string[]) {
  const text = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => ({
    isTTY: false,
    write: (chunk: string) => {
      text[name] += chunk;
    },
  });
  return { code: await run(argv, { stdout: stream('stdout'), stderr: stream('stderr'), env: {} }), ...text };
}

/** Log-probs in bits whose ratios are 2, 4, 8, 16 and 32. */
const bits = ['a,b', ...[1, 2, 3, 4, 5].map((k) => `${-k - 0.375},${-2 * k - 0.375}`)].join('\n');

describe('ties', () => {
  it('count in coverage, plan and tournament, in bits and in powers of ten', async () => {
    const path = file(bits);
    for (const [unit, base] of [
      ['bits', 2],
      ['base10', 10],
    ] as const) {
      const Ns = [1, 2, 3, 4, 5].map((k) => base ** k).join(',');
      const coverage = await covn('coverage', path, '--reference', 'a', '--unit', unit, '--at', Ns, '--json');
      const { curve } = JSON.parse(coverage.stdout).profiles[0];
      expect(curve.map((point: { value: number }) => point.value)).toEqual([1, 0.8, 0.6, 0.4, 0.2]);
      const played = JSON.parse(
        (await covn('tournament', path, '--unit', unit, '-N', Ns, '--json')).stdout,
      ).tournaments;
      expect(played.map((t: { scores: number[] }) => t.scores[1])).toEqual([1, 0.8, 0.6, 0.4, 0.2]);
      expect(played.map((t: { N: number }) => t.N)).toEqual([1, 2, 3, 4, 5].map((k) => base ** k));
      expect(played[0].crossEntropy[0].value).toBeCloseTo(3.375 * Math.log(base), 12);
    }
    const ratios = file('r\n1\n2\n3\n4\n5\n');
    const read = await covn('coverage', ratios, '--ratio', 'r', '--unit', 'bits', '--at', '2,4,8,16,32', '--json');
    const { curve } = JSON.parse(read.stdout).profiles[0];
    expect(curve.map((point: { value: number }) => point.value)).toEqual([1, 0.8, 0.6, 0.4, 0.2]);
  });

  it('leave the other figures as in nats', async () => {
    const rows = Array.from({ length: 40 }, (_, i) => [-1.37 - (i % 7), -2.11 - (i % 5), -1.93 - (i % 6)]);
    const inBits = file(`a,b,c\n${rows.map((row) => row.map((x) => x / Math.LN2).join(',')).join('\n')}\n`);
    const inNats = file(`a,b,c\n${rows.map((row) => row.join(',')).join('\n')}\n`);
    const play = async (path: string, unit: string) =>
      JSON.parse((await covn('tournament', path, '--unit', unit, '-N', '3', '--json')).stdout).tournaments[0];
    const [one, other] = [await play(inBits, 'bits'), await play(inNats, 'nats')];
    expect(one.scores).toEqual(other.scores);
    expect(one.winner).toEqual(other.winner);
    expect(one.crossEntropy[1].upper).toBeCloseTo(other.crossEntropy[1].upper, 10);
    expect(one.ladder[0].N).toBe(3);
  });
});

describe('options without effect', () => {
  it('are refused with 2, by name', async () => {
    const array = npy([
      [-1.5, -2.5],
      [-2, -1],
    ]);
    for (const option of ['cluster', 'sequence', 'value', 'position', 'model-column']) {
      const { code, stderr } = await covn('tournament', array, `--${option}`, 'x', '-N', '2');
      expect([code, stderr]).toEqual([2, expect.stringContaining(`--${option} has no effect on .npy`)]);
      const coverage = await covn('coverage', array, '--reference', '0', `--${option}`, 'x');
      expect(coverage.code).toBe(2);
    }
    expect((await covn('coverage', array, '--reference', '0')).code).toBe(0);
    const ratios = file('r\n1\n2\n');
    for (const [option, value] of [
      ['reference', 'a'],
      ['kind', 'logprob'],
      ['model', 'm'],
    ] as const) {
      const { code, stderr } = await covn('plan', ratios, '--ratio', 'r', `--${option}`, value, '--regret', '0.1');
      expect([code, stderr]).toEqual([2, expect.stringContaining(`--${option} has no effect with --ratio`)]);
    }
  });
});

describe('messages', () => {
  it('show warnings before the usage error that they explain', async () => {
    const { code, stderr } = await covn('tournament', file('id,word,m\n1,of,-1.5\n'), '--sequence', 'id', '-N', '2');
    expect(code).toBe(2);
    expect(stderr).toMatch(/warning: columns: not numbers, left out: word\n(.|\n)*at least two models/);
  });

  it('say what lists, limits and delimiters are', async () => {
    const path = file(bits);
    const say = async (...argv: string[]) => {
      const { code, stderr } = await covn('tournament', path, ...argv);
      expect(code).toBe(2);
      return stderr;
    };
    expect(await say('-N', '2,,4')).toContain('Expected numbers separated by commas');
    expect(await say('-N', '1e300')).toContain('in [1, 1000000000000000]');
    expect(await say('-N', '2', '--delimiter', '')).toContain('Expected one character');
    expect(await say('-N', '2', '--delimiter', 'ab')).toContain('Expected one character');
    const tabs = file(bits.replaceAll(',', '\t'));
    expect((await covn('tournament', tabs, '--delimiter', '\\t', '-N', '2')).code).toBe(0);
  });

  it('suggest the reference, and say which columns were left out', async () => {
    const near = await covn('coverage', file('teacher,m\n-1.5,-2.5\n'), '--reference', 'techer');
    expect(near.stderr).toContain("Did you mean 'teacher'?");
    const left = await covn('coverage', file('len,m\n3,-2.5\n'), '--reference', 'len');
    expect(left.stderr).toContain('whole numbers only, left out: len');
  });

  it('hold no escape codes of the file', async () => {
    const path = file('"a\x1b[2J",b,"c\x1b]0;x\x07"\n-1.5,-2,-3\n-2,-1,-2.5\n');
    for (const argv of [
      ['tournament', path, '-N', '2'],
      ['coverage', path, '--reference', 'b'],
      ['coverage', path, '--reference', 'zz'],
      ['plan', path, '--reference', 'b', '--regret', '0.1'],
    ]) {
      const { stdout, stderr } = await covn(...argv);
      expect(`${stdout}${stderr}`.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    }
    const json = JSON.parse((await covn('tournament', path, '-N', '2', '--json')).stdout);
    expect(json.tournaments[0].names[0]).toBe('a\x1b[2J');
  });

  it('point to --filter', async () => {
    const path = file('doc_id,filter,acc\n1,strict,0\n1,flexible,1\n2,strict,0\n2,flexible,1\n');
    expect((await covn('best-of-n', path)).stderr).toContain('--filter');
    const { code, stdout } = await covn('best-of-n', path, '--filter', 'flexible');
    expect([code, stdout.includes('2 problems, at least 1 sample')]).toEqual([0, true]);
  });
});

const built = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

describe.skipIf(!existsSync(built) || process.platform === 'win32')('the built command', () => {
  const node = (argv: string[], options: object) =>
    spawnSync(process.execPath, [built, ...argv], { encoding: 'utf8', ...options });

  it('reads standard input, once', () => {
    for (const name of ['-', '/dev/stdin']) {
      const { status, stdout } = node(['tournament', name, '--unit', 'bits', '-N', '2'], { input: bits });
      expect([status, stdout.includes('2 models, 5 responses')]).toEqual([0, true]);
    }
    const fd = openSync(file(bits), 'r');
    expect(node(['tournament', '-', '-N', '2'], { stdio: [fd, 'pipe', 'pipe'] }).status).toBe(0);
    const twice = node(['tournament', '-', '-', '--value', 'a', '-N', '2'], { input: bits });
    expect([twice.status, twice.stderr]).toEqual([1, expect.stringContaining('a second time')]);
    const bad = node(['tournament', '-', '-N', '2'], { input: 'a,b\n-1.5,x\n' });
    expect(bad.stderr).toContain("standard input, line 2, column 'b'");
  });

  it.skipIf(!existsSync('/dev/full'))('says in one line that its output cannot be written', () => {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = node(['doctor'], { stdio: ['ignore', full, 'pipe'] });
    expect([status, stderr]).toEqual([1, expect.stringMatching(/^covn: the output cannot be written \(.*\)\n$/)]);
  });

  it('runs the first example of docs/cli.md as it stands', () => {
    const root = fileURLToPath(new URL('..', import.meta.url));
    const text = readFileSync(join(root, 'docs', 'cli.md'), 'utf8');
    const example = /```sh\n(covn (?:[^`]*?[^\\\n]))\n/.exec(text)![1]!.replaceAll('\\\n', ' ');
    const [, ...argv] = example.trim().split(/\s+/);
    const { status, stdout, stderr } = node(argv, { cwd: root });
    expect([status, stderr]).toEqual([0, 'warning: columns: whole numbers only, left out: NumTokens\n']);
    expect(stdout).toContain('14 models, 476 responses in 10 clusters');
  });
});
