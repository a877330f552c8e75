/** What the commands say, and where errors point. */

import { describe, expect, it } from 'vitest';
import { covn } from './support/cli.ts';
import { temporaryFiles } from './support/files.ts';

const { file: write } = temporaryFiles();
const file = (name: string, text: string) => write(text, name);

describe('covn plan', () => {
  it('tells the estimate from what holds with confidence', async () => {
    const three = file('three.csv', 'r\n0.5\n0.2\n-1\n');
    const people = await covn('plan', three, '--ratio', 'r', '--regret', '0.05');
    expect(people.stdout).toContain('estimated from 3 responses: N = ');
    expect(people.stdout).toContain('with 95 % confidence: no N is enough');
    const json = JSON.parse((await covn('plan', three, '--ratio', 'r', '--regret', '0.05', '--json')).stdout);
    expect(json.plans[0]).toMatchObject({ n: 3, confidentN: null });
    expect(json.plans[0].N).toBe(json.plans[0].estimatedN);
  });
});

describe('covn tournament', () => {
  it('says how a tie was broken', async () => {
    const same = file(
      'same.csv',
      `id,a,b\n${Array.from({ length: 30 }, (_, i) => `${i},-${i + 1.5},-${i + 1.5}`).join('\n')}\n`,
    );
    const { stdout } = await covn('tournament', same, '--sequence', 'id', '-N', '2');
    expect(stdout).toContain('b tied with it at this N; the tie was broken by cross-entropy');
  });

  it('shows the interval of each score', async () => {
    const path = file('scores.csv', `id,a,b\n${Array.from({ length: 30 }, (_, i) => `${i},-2.5,-9.5`).join('\n')}\n`);
    const { stdout } = await covn('tournament', path, '--sequence', 'id', '-N', '2');
    // No gap in 30 responses: Clopper-Pearson's upper limit is 1 - 0.025^(1/30) = 0.116.
    expect(stdout).toContain('0.000 [0.000, 0.116]');
  });
});

describe('impossible references', () => {
  it('are errors with file and response', async () => {
    const wide = file('wide.csv', 'id,a,b\nfirst,-inf,-inf\nsecond,-2,-3.5\n');
    const error = await covn('coverage', wide, '--sequence', 'id', '--reference', 'a', '--at', '2');
    expect(error).toMatchObject({ code: 1, stdout: '' });
    expect(error.stderr).toContain('wide.csv');
    expect(error.stderr).toContain("sequence 'first'");
    const ratios = file('ratios.csv', 'r\n1\n-inf\n');
    expect((await covn('coverage', ratios, '--ratio', 'r')).stderr).toContain('line 3');
  });
});

describe('JSON Lines', () => {
  it('refuses an array at once, with what to do', async () => {
    const array = file('array.jsonl', `[${'{"id":1,"a":-1.5},'.repeat(200_000)}{}]`);
    const { code, stderr } = await covn('tournament', array, '-N', '2');
    expect(code).toBe(1);
    expect(stderr).toContain("jq -c '.[]'");
  });

  it('refuses a line without end', async () => {
    const long = file('long.jsonl', `{"a": "${'x'.repeat(17_000_000)}"}`);
    const { code, stderr } = await covn('tournament', long, '-N', '2');
    expect(code).toBe(1);
    expect(stderr).toContain('lines of at most 16777216 characters');
  });
});
