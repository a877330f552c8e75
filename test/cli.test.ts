import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { plotProfile } from '../lib/cli/plot.ts';
import { run } from '../lib/cli/run.ts';
import { temporaryFiles } from './support/files.ts';

const { folder, file } = temporaryFiles();

const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));

/** Runs covn in this process. */
async function covn(
  argv: string[],
  more: { isTTY?: boolean; env?: Record<string, string>; signal?: AbortSignal } = {},
) {
  const text = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => ({
    isTTY: more.isTTY ?? false,
    write: (chunk: string) => {
      text[name] += chunk;
    },
  });
  const { env = {}, signal } = more;
  const io = {
    stdout: stream('stdout'),
    stderr: { ...stream('stderr'), isTTY: false },
    env,
    ...(signal && { signal }),
  };
  return { code: await run(argv, io), ...text };
}

/** Two models and a reference on 40 responses of 8 prompts. */
const scores = [
  'prompt,ref,good,poor',
  ...Array.from({ length: 40 }, (_, i) => {
    const ref = -5 - (i % 7);
    return `p${i % 8},${ref},${ref + (i % 3) - 1.5},${ref - (i % 10)}`;
  }),
].join('\n');

describe('covn', () => {
  it('prints help and its version, and refuses unknown commands, options and missing arguments with 2', async () => {
    const help = await covn(['--help']);
    expect([help.code, help.stderr]).toEqual([0, '']);
    for (const name of ['coverage', 'plan', 'tournament', 'best-of-n', 'lab', 'bench', 'doctor', 'demo']) {
      expect(help.stdout).toContain(name);
      const own = await covn([name, '--help']);
      expect([own.code, own.stdout.includes('--json')]).toEqual([0, true]);
    }
    expect((await covn(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+/);
    for (const argv of [
      [],
      ['turnament'],
      ['coverage'],
      ['tournament', 'x.csv'],
      ['doctor', '--colour'],
      ['plan', 'x'],
    ]) {
      const { code, stdout, stderr } = await covn(argv);
      expect([argv, code, stdout]).toEqual([argv, 2, '']);
      expect(stderr).not.toMatch(/\n +at /);
    }
    const path = file(scores);
    expect((await covn(['coverage', path, '--ratio', 'x', '--confidence', '2'])).code).toBe(2);
    expect((await covn(['tournament', path, '-N', '0'])).code).toBe(2);
    expect((await covn(['tournament', path, '-N', '2,'])).code).toBe(2);
    expect((await covn(['plan', path, '--regret', 'small'])).code).toBe(2);
    expect((await covn(['tournament', path, '-N', '2', '--kind', 'logits'])).code).toBe(2);
  });

  it('uses colours on a terminal only, unless NO_COLOR is set', async () => {
    const argv = ['best-of-n', fixture('airline-trials.csv'), '--correct', 'reward'];
    expect((await covn(argv)).stdout).not.toContain('\x1b[');
    expect((await covn(argv, { isTTY: true })).stdout).toContain('\x1b[');
    expect((await covn(argv, { isTTY: true, env: { NO_COLOR: '1' } })).stdout).not.toContain('\x1b[');
  });
});

describe('covn coverage and plan', () => {
  it('measures models against a reference', async () => {
    const path = file(scores);
    const argv = ['coverage', path, '--reference', 'ref', '--model', 'good,poor', '--cluster', 'prompt', '--at', '2,8'];
    const { code, stdout, stderr } = await covn([...argv, '--json']);
    expect([code, stderr]).toEqual([0, '']);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      command: 'coverage',
      reference: 'ref',
      profiles: [{ model: 'good' }, { model: 'poor' }],
    });
    // log ratios of poor are 0 .. 9: those >= log 8 = 2.08 are 3 .. 9
    expect(result.profiles[1].curve).toMatchObject([
      { N: 2, value: 0.9 },
      { N: 8, value: 0.7 },
    ]);
    expect(result.profiles[1].kl.value).toBeCloseTo(4.5, 12);
    const human = await covn(argv);
    expect(human.stdout).toContain('0.7000');
    expect(human.stdout).toContain('Cov_N');
    expect(human.stdout).toContain('3 columns as logprob');
  });

  it('reads log ratios, and plans N', async () => {
    const path = file(['ratio', ...Array.from({ length: 50 }, (_, i) => `${(i % 5) / 2}`)].join('\n'));
    const plan = await covn(['plan', path, '--ratio', 'ratio', '--regret', '0.05', '--json']);
    const { plans } = JSON.parse(plan.stdout);
    expect(plans[0].N).toBeGreaterThan(10);
    expect(plans[0].bound.upper).toBeLessThanOrEqual(0.05);
    const human = await covn(['plan', path, '--ratio', '--regret', '0.05']);
    expect(human.stdout).toContain(`N = ${plans[0].N}`);
    expect((await covn(['plan', path, '--ratio', '--regret', '0.001', '--confident'])).stdout).toContain('no N');
  });

  it('refuses coverage without log pi_D and points to the tournament', async () => {
    const { code, stdout, stderr } = await covn(['coverage', file(scores)]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('log pi_D');
    expect(stderr).toContain('covn tournament');
  });

  it('says where bad input is', async () => {
    const bad = file('prompt,ref,good\na,-1,-2\nb,-1,oops\n', 'bad.csv');
    const human = await covn(['coverage', bad, '--reference', 'ref', '--model', 'good']);
    expect([human.code, human.stdout]).toEqual([1, '']);
    expect(human.stderr).toContain("bad.csv, line 3, column 'good'\n  expected: a number\n  found:    'oops'");
    const machine = await covn(['coverage', bad, '--reference', 'ref', '--model', 'good', '--json']);
    expect([machine.code, machine.stdout]).toEqual([1, '']);
    expect(JSON.parse(machine.stderr).error).toMatchObject({
      code: 'ERR_COVN_FORMAT',
      file: bad,
      line: 3,
      column: 'good',
    });
    const near = await covn(['coverage', bad, '--reference', 'ref', '--model', 'Godo']);
    expect(near.stderr).toContain("Did you mean 'good'?");
    for (const [path, found] of [
      [file(''), 'an empty file'],
      [file('ref,good\n'), 'none'],
      [join(folder, 'absent.csv'), 'no such file'],
      [file(Buffer.from('\x93NUMPY\x01\x00\x76\x00{', 'latin1'), 'cut.npy'), '1 bytes'],
    ] as const) {
      const { code, stderr } = await covn(['coverage', path, '--reference', 'ref', '--model', 'good']);
      expect([code, stderr.includes(`found:    ${found}`)]).toEqual([1, true]);
    }
  });
});

describe('covn tournament', () => {
  const long = [
    'id,model,logprob',
    ...Array.from({ length: 60 }, (_, i) => [`${i},a,${-1 - (i % 4)}`, `${i},b,${-2 - (i % 5)}`]).flat(),
  ].join('\n');

  it('chooses, and says why', async () => {
    const argv = [
      'tournament',
      file(long),
      '--sequence',
      'id',
      '--model-column',
      'model',
      '--value',
      'logprob',
      '-N',
      '2,4',
    ];
    const { code, stdout } = await covn([...argv, '--bootstrap', '200', '--json']);
    expect(code).toBe(0);
    const { tournaments, reading } = JSON.parse(stdout);
    expect(tournaments).toHaveLength(2);
    expect(tournaments[0]).toMatchObject({ N: 2, winner: { name: 'a' }, names: ['a', 'b'] });
    expect(reading).toContain('logprob in nats');
    const human = await covn(argv);
    expect(human.stdout).toContain('a covers best');
    expect(human.stdout).toContain('Minimum cross-entropy chooses it too');
  });

  it('refuses misaligned models, and a single one', async () => {
    const one = file('id,logprob\nx,-1\ny,-2\n', 'one.csv');
    const two = file('id,logprob\nx,-1\nz,-2\n', 'two.csv');
    const { code, stderr } = await covn(['tournament', one, two, '--sequence', 'id', '-N', '2']);
    expect(code).toBe(1);
    expect(stderr).toContain('two.csv');
    expect(stderr).toContain("'z'");
    expect((await covn(['tournament', one, '--sequence', 'id', '-N', '2'])).code).toBe(2);
  });

  it('is interrupted by its signal', async () => {
    const path = file(long);
    const argv = [
      'tournament',
      path,
      '--sequence',
      'id',
      '--model-column',
      'model',
      '-N',
      '2',
      '--bootstrap',
      '1000000',
    ];
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('interrupted')), 100);
    const { code, stdout, stderr } = await covn([...argv, '--json'], { signal: controller.signal });
    expect([code, stdout, stderr]).toEqual([130, '', 'covn: interrupted\n']);
  });
});

describe('covn best-of-n', () => {
  it('reproduces the recorded figures', async () => {
    const argv = ['best-of-n', fixture('math-best-of-8.jsonl'), '--ties', 'first', '-N', '1,2,4,8'];
    const result = JSON.parse((await covn([...argv, '--json'])).stdout);
    const values = (name: string) => result[name].map((e: { value: number }) => +e.value.toFixed(4));
    expect(values('passAtN')).toEqual([0.91, 0.9329, 0.951, 0.96]);
    expect(values('bestOfNReward')).toEqual([0.91, 0.9279, 0.9361, 0.94]);
    const { stdout } = await covn(argv);
    expect(stdout).toContain('idx = problem, score = right or wrong, pred_score = reward');
    expect(stdout).toContain('0.9329');
    const airline = await covn(['best-of-n', fixture('airline-trials.csv'), '--correct', 'reward', '-N', '3']);
    expect(airline.stdout).toContain('0.2200');
  });

  it('refuses N above the samples, naming the problem', async () => {
    const { code, stdout, stderr } = await covn(['best-of-n', file('problem,n,c\nx,8,1\ny,4,1\n'), '-N', '5']);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain("4 of 'y'");
  });
});

describe('covn doctor and demo', () => {
  it('reports the addon and the devices', async () => {
    const { code, stdout } = await covn(['doctor', '--json']);
    const result = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(result.devices[0]).toMatchObject({ name: 'scalar', available: true });
    expect((await covn(['doctor'])).stdout).toContain(process.version);
  });

  it('plays the demo', async () => {
    const { code, stdout, stderr } = await covn(['demo', '--out', folder]);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('The checkpoint of least KL has Pass@8 = 0.95');
    expect(existsSync(join(folder, 'fig1.svg'))).toBe(true);
    expect(stdout).toContain('10246 words summed to 476 sentences');
    expect(stdout).toContain('mamba-2.8b-hf covers best');
    expect(stdout).toContain('covn tournament YOUR_FILES');
  });
});

describe('the plot', () => {
  it('falls from the upper left to the lower right', () => {
    const lines = plotProfile(
      [
        { N: 1, value: 1 },
        { N: 4, value: 0.5 },
        { N: 16, value: 0 },
      ],
      20,
    ).split('\n');
    const drawn = (line: string | undefined) =>
      [...line!].map((c) => (c > '\u2800' && c <= '\u28ff' ? '#' : ' ')).join('');
    expect(lines).toHaveLength(10);
    expect(drawn(lines[1]).indexOf('#')).toBe(11);
    expect(drawn(lines[8]).lastIndexOf('#')).toBe(30);
    expect(
      plotProfile([
        { N: 1, value: 0 },
        { N: 2, value: 0 },
      ]),
    ).toBe('');
    expect(plotProfile([{ N: 1, value: 1 }])).toBe('');
  });
});

const built = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

describe.skipIf(!existsSync(built))('the built command', () => {
  const node = (argv: string[], env = {}) =>
    spawnSync(process.execPath, [built, ...argv], { encoding: 'utf8', env: { ...process.env, ...env } });

  it('exits with 0, 1 and 2', () => {
    expect(node(['--version']).status).toBe(0);
    expect(node(['best-of-n', join(folder, 'absent.csv')]).status).toBe(1);
    expect(node(['nonsense']).status).toBe(2);
  });

  it('diagnoses an addon that does not load, without a stack', () => {
    for (const addon of [join(folder, 'absent.node'), file('not a library', 'broken.node')]) {
      const { status, stdout, stderr } = node(['doctor'], { COVN_ADDON: addon });
      expect([status, stderr]).toEqual([1, '']);
      expect(stdout).toContain('does not load');
      expect(stdout).not.toMatch(/\n +at /);
      const failed = node(['demo', '--json', '--out', folder], { COVN_ADDON: addon });
      expect([failed.status, failed.stdout]).toEqual([1, '']);
      expect(JSON.parse(failed.stderr).error.code).toBe('ERR_COVN_ADDON');
    }
  });

  it('is quiet when its reader leaves early', async () => {
    const child = spawn(process.execPath, [built, 'best-of-n', fixture('math-best-of-8.jsonl'), '--json']);
    let stderr = '';
    child.stderr.on('data', (text) => {
      stderr += text;
    });
    child.stdout.destroy();
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect([code, stderr]).toEqual([0, '']);
  });
});
