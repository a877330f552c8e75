import { describe, expect, it } from 'vitest';
import { coverageProfile, passAtN, passBracket } from '../lib/index.ts';
import { covn } from './support/cli.ts';
import { temporaryFiles } from './support/files.ts';

const { file } = temporaryFiles();

const correct = Array.from({ length: 50 }, (_, i) => (i * 7) % 33);
const counts = file(`problem,n,c\n${correct.map((c, i) => `p${i},32,${c}`).join('\n')}\n`);
const reference = Array.from({ length: 400 }, (_, i) => -20 - (i % 13));
const model = reference.map((x, i) => x - (i % 9) / 4);
const scores = file(`id,teacher,student,other\n${reference.map((x, i) => `${i},${x},${model[i]},${x}`).join('\n')}\n`);

describe('covn best-of-n --profile', () => {
  it('prints the bracket beside Pass@N', async () => {
    const reads = ['--sequence', 'id', '--reference', 'teacher', '--model', 'student'];
    const argv = ['best-of-n', counts, '--profile', scores, ...reads, '-N', '1,4,32'];
    const { code, stdout, stderr } = await covn(...argv, '--accuracy', '0.6', '--json');
    expect([code, stderr]).toEqual([0, '']);
    const N = [1, 4, 32];
    const profile = coverageProfile(reference.map((x, i) => x - model[i]!));
    const rows = passBracket(profile, N, passAtN({ samples: 32, correct }, N), { accuracy: 0.6 });
    const result = JSON.parse(stdout);
    expect(result.passBracket).toEqual(JSON.parse(JSON.stringify(rows)));
    expect(result.profile).toMatchObject({ file: scores, reading: expect.stringContaining('logprob in nats') });
    const people = await covn(...argv);
    expect(people.code).toBe(0);
    expect(people.stdout).toContain('at worst below');
    expect(people.stdout).toMatch(/Pass@N\n.*┤/);
    expect(people.stdout).toContain('pi_D is right always (Prop D.6)');
  });

  it('warns where profile and measurement cannot both be true', async () => {
    const ratios = file(`r\n${'0\n'.repeat(2000)}`);
    const none = file(`problem,n,c\n${correct.map((_, i) => `p${i},32,0`).join('\n')}\n`);
    const { code, stdout, stderr } = await covn('best-of-n', none, '--profile', ratios, '--ratio', 'r', '-N', '16,32');
    expect([code, stdout.includes('no')]).toEqual([0, true]);
    expect(stderr).toContain('contradiction: Pass@N is below what coverage promises at N = 16, 32');
  });

  it('refuses options without effect, several models and samples without right or wrong', async () => {
    const rewards = file(`problem,reward\n${correct.map((c, i) => `p${i},${c}`).join('\n')}\n`);
    for (const [argv, text] of [
      [[counts, '--accuracy', '0.5'], '--accuracy has no effect without --profile'],
      [[counts, '--model-column', 'm'], '--model-column has no effect without --profile'],
      [[counts, '--profile', scores, '--sequence', 'id', '--reference', 'teacher'], 'name it with --model'],
      [[counts, '--profile', scores, '--sequence', 'id'], '--reference'],
      [[rewards, '--profile', scores, '--reference', 'teacher'], 'right or wrong'],
    ] as const) {
      const { code, stderr } = await covn('best-of-n', ...argv);
      expect([argv, code]).toEqual([argv, 2]);
      expect(stderr).toContain(text);
    }
  });
});
