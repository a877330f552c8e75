/** `covn lab`. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { experiments } from '../lib/lab/index.ts';
import { covn } from './support/cli.ts';
import { temporaryFiles } from './support/files.ts';
import { expectWellFormed } from './support/xml.ts';

const { folder, file } = temporaryFiles();
const small = ['convert', '--instances', '3'];

describe('covn lab', () => {
  it('lists the experiments, each with a sentence', async () => {
    const { code, stdout } = await covn('lab');
    expect(code).toBe(0);
    for (const { name, summary } of experiments) {
      expect(stdout).toContain(name);
      expect(stdout).toContain(summary);
    }
    const json = JSON.parse((await covn('lab', '--json')).stdout);
    expect(json.experiments.map(({ name }: { name: string }) => name)).toEqual(experiments.map(({ name }) => name));
  });

  it('prints tables and findings, and writes the picture and the numbers beside it', async () => {
    const out = join(folder, 'new', 'pictures');
    const { code, stdout, stderr } = await covn('lab', ...small, '--seed', '3', '--out', out);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('Cov_N from KL (D.1)');
    expect(stdout).toContain(join(out, 'convert.svg'));
    expect(readdirSync(out).sort()).toEqual(['convert.json', 'convert.svg']);
    expectWellFormed(readFileSync(join(out, 'convert.svg'), 'utf8'));
    const written = JSON.parse(readFileSync(join(out, 'convert.json'), 'utf8'));
    expect(written).toMatchObject({ experiment: 'convert', seed: 3, settings: { instances: 3 } });
    expect(written.figure.panels).toHaveLength(1);
    const again = await covn('lab', ...small, '--seed', '3', '--out', out, '--json');
    const { command, files, ...result } = JSON.parse(again.stdout);
    expect(command).toBe('lab');
    expect(files).toEqual({ svg: join(out, 'convert.svg'), json: join(out, 'convert.json') });
    expect(result).toEqual(written);
  });

  it('leaves nothing behind when it fails', async () => {
    const taken = file('a file', 'taken.txt');
    const failed = await covn('lab', ...small, '--out', taken);
    expect([failed.code, readFileSync(taken, 'utf8')]).toEqual([1, 'a file']);
    expect(failed.stderr).toMatch(/^error: /);
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('names the experiments to who asks for another', async () => {
    expect((await covn('lab', 'fig9')).stderr).toMatch(/Expected one of fig1, fig2, .*'fig9'/);
  });

  it('refuses what it does not know with 2', async () => {
    const out = join(folder, 'none');
    for (const argv of [
      ['lab', 'fig9'],
      ['lab', 'convert', '--instances', '0', '--out', out],
      ['lab', 'convert', '--draws', '3', '--out', out],
      ['lab', 'convert', '--seed', '-1', '--out', out],
      ['lab', 'convert', 'misspecified', '--out', out],
    ]) {
      const { code, stdout } = await covn(...argv);
      expect([argv, code, stdout]).toEqual([argv, 2, '']);
    }
    expect(existsSync(out)).toBe(false);
  });
});
