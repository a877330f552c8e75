import { describe, expect, it } from 'vitest';
import { tournament } from '../lib/index.ts';
import { testRandom } from './oracles/logprob.ts';
import { covn } from './support/cli.ts';
import { temporaryFiles } from './support/files.ts';

const { file } = temporaryFiles();

const random = testRandom(31);
const models = ['a', 'b', 'c'];
const [n, G] = [60, 90];
const bits = (length: number) => Array.from({ length }, () => -1 - random.integer(10));
const responses = models.map(() => bits(n));
const generated = models.map(() => bits(G));
const generators = Array.from({ length: G }, (_, g) => (g * g) % 3); // 0 and 1 only where 2 is missing
generators[5] = 2;
generators[7] = 2;

const csv = (header: string[], rows: (string | number)[][]) => [header, ...rows].map((row) => row.join(',')).join('\n');
const wide = csv(
  ['id', 'prompt', ...models],
  Array.from({ length: n }, (_, i) => [`r${i}`, `p${i % 9}`, ...responses.map((row) => row[i]!)]),
);
const table = (name = 'generator', names = models) =>
  csv(
    ['id', 'prompt', name, ...models],
    // The same id under several generators is several generations.
    Array.from({ length: G }, (_, g) => [
      `g${Math.floor(g / 3)}${generators[g]}${g}`,
      `p${g % 7}`,
      names[generators[g]!]!,
      ...generated.map((row) => row[g]!),
    ]),
  );

describe('covn tournament --on-policy', () => {
  it('plays Eq. 32 on the numbers of the files, in their unit', async () => {
    const order = [0, 1, 2].flatMap((m) => generators.flatMap((own, g) => (own === m ? [g] : [])));
    const offsets = [0, 1, 2, 3].map((m) => generators.filter((own) => own < m).length);
    const nats = (k: number) => -Math.log(2 ** -k);
    const flat = (rows: number[][], at: number[]) =>
      Float64Array.from(rows.flatMap((row) => at.map((i) => nats(row[i]!))));
    const argv = ['tournament', file(wide), '--sequence', 'id', '--cluster', 'prompt', '-N', '2,8', '--json'];
    const options = ['--kind', 'logprob', '--unit', 'bits', '--on-policy', file(table())];
    const { code, stdout, stderr } = await covn(...argv, ...options, '--offset-exponent', '0.5');
    expect([code, stderr]).toEqual([0, '']);
    const { tournaments } = JSON.parse(stdout);
    const expected = await tournament({
      logProbs: flat(responses, [...Array(n).keys()]),
      models: 3,
      N: [2, 8],
      names: models,
      clusters: Array.from({ length: n }, (_, i) => `p${i % 9}`),
      onPolicy: { logProbs: flat(generated, order), offsets, clusters: order.map((g) => `p${g % 7}`), exponent: 0.5 },
    });
    for (const [k, t] of tournaments.entries()) {
      const { scores, winner, selectionProbability, worstOpponent } = expected[k]!;
      expect(t).toMatchObject({ rule: 'offset', exponent: 0.5, generations: G, N: [2, 8][k] });
      expect(t.winner.model).toBe(winner);
      expect(t.worstOpponent).toEqual([...worstOpponent]);
      for (const i of [0, 1, 2]) expect(t.scores[i]).toBeCloseTo(scores[i]!, 12);
      for (const i of [0, 1, 2]) expect(t.selectionProbability[i]).toBeCloseTo(selectionProbability[i]!, 1);
    }
  });

  it('says for people what it is', async () => {
    const argv = ['tournament', file(wide), '--sequence', 'id', '--value', 'a,b,c', '-N', '4'];
    const { code, stdout } = await covn(...argv, '--on-policy', file(table('who')), '--generator', 'who');
    expect(code).toBe(0);
    expect(stdout).toContain(`what ${G} generations of the models show (Eq. 32)`);
    expect(stdout).toContain('offset score');
  });

  it('refuses what does not fit, naming the place', async () => {
    const argv = ['tournament', file(wide), '--sequence', 'id', '--value', 'a,b,c', '-N', '4'];
    for (const [more, code, text] of [
      [['--offset-exponent', '1'], 2, 'without --on-policy'],
      [['--generator', 'x'], 2, '--generator has no effect'],
      [['--on-policy', 'x.npy'], 2, 'reads a table'],
      [['--on-policy', file(table()), '--offset-exponent', '-1'], 2, 'in [0, 1000]'],
      [['--on-policy', file(table('who'))], 1, "a column 'generator'"],
      [['--on-policy', file(table('generator', ['a', 'b', 'd']))], 1, "'d' (sequence '"],
      [['--on-policy', file(table('generator', ['a', 'b', 'b']))], 1, "at least one generation of 'c'"],
      [['--on-policy', file(table().replace(/,-\d+\n/, ',0.5\n'))], 1, 'line 2'],
      [['--on-policy', file(table().replace(/(a),-\d+/, '$1,-inf'))], 1, 'which a generated'],
      [['--on-policy', file(csv(['id', 'generator', 'a'], [['x', 'a', -1]]))], 1, "a column 'b'"],
    ] as const) {
      const result = await covn(...argv, ...more);
      expect([more, result.code]).toEqual([more, code]);
      expect(result.stderr).toContain(text);
      expect(result.stdout.includes('worst Cov')).toBe(false);
    }
  });
});
