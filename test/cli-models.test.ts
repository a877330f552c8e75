/** `covn best-of-n` on models. */

import { describe, expect, it } from 'vitest';
import { covn } from './support/cli.ts';
import { temporaryFiles } from './support/files.ts';

const { file: write } = temporaryFiles();
const json = (value: unknown) => write(JSON.stringify(value), 'json');

const model = {
  vocab: 2,
  probabilities: [
    [0.25, 0.75],
    [0.5, 0.5],
  ],
  next: [
    [-1, -1],
    [-1, 0],
  ],
  start: [0, 1],
};
const references = [[[0]], [[1, 0], [0]]];
const accepted = {
  next: [
    [0, 1],
    [1, 1],
  ],
  start: 0,
  accepting: [1],
};

describe('covn best-of-n on a model', () => {
  it('gives Pass@N from its draws, close to the exact values', async () => {
    const file = json({ ...model, references });
    const { code, stdout } = await covn('best-of-n', file, '--draws', '100000', '-N', '1,4', '--seed', '3', '--json');
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    const chances = [0.25, 0.5 + 0.5 * 0.25];
    for (const [i, N] of [1, 4].entries()) {
      const exact = chances.reduce((sum, p) => sum + (1 - (1 - p) ** N) / 2, 0);
      // Standard errors are below 0.0012: 5 of them.
      expect(Math.abs(result.passAtN[i].value - exact)).toBeLessThan(0.006);
    }
    expect(result).toMatchObject({ command: 'best-of-n', prompts: 2, draws: 100_000, seed: 3, N: [1, 4] });
    const again = await covn('best-of-n', file, '--draws', '100000', '-N', '1,4', '--seed', '3', '--json');
    expect(again.stdout).toBe(stdout);
    const people = await covn('best-of-n', file, '--draws', '64');
    expect(people.stdout).toContain('Drew 64 responses to each of 2 prompts (seed 0).');
    expect(people.stdout).toContain('100 % ended');
  });

  it('takes log-probs with null for -infinity, stop tokens and an automaton', async () => {
    const file = json({
      vocab: 2,
      logProbs: [[0, null]],
      next: [[0, 0]],
      stop: [0],
      start: [0],
      accepted: {
        next: [
          [1, 0],
          [-1, -1],
        ],
        start: 0,
        accepting: [1],
      },
    });
    const result = JSON.parse((await covn('best-of-n', file, '-N', '1', '--json')).stdout);
    expect(result.passAtN[0].value).toBe(1);
  });

  it('says what is wrong with a file', async () => {
    const wrong: [object, ...string[]][] = [
      [[], 'an array'],
      [{ ...model }, "'references'", "'accepted'"],
      [{ ...model, references, logProbs: [] }, "'probabilities'", 'both'],
      [{ ...model, reference: references }, 'reference', "Did you mean 'references'?"],
      [{ ...model, references, next: [[-1, -1]] }, "'next'", '2 states'],
      [
        {
          ...model,
          references,
          next: [
            [-1, -1],
            [-1, 2],
          ],
        },
        "'next[1][1]'",
        '[-1, 1]',
        '2',
      ],
      [
        {
          ...model,
          accepted: {
            ...accepted,
            next: [
              [0, 1],
              [1, 9],
            ],
          },
        },
        "'accepted.next[1][1]'",
        '[-1, 1]',
        '9',
      ],
      [{ ...model, accepted: { ...accepted, next: [] } }, "'accepted.next'", 'at least one state'],
      [{ ...model, accepted: { ...accepted, start: 2 } }, "'accepted.start'", '[0, 1]'],
      [{ ...model, accepted: { ...accepted, start: 'x' } }, "'accepted.start'", '"x"'],
      [{ ...model, accepted: { ...accepted, start: [0] } }, "'accepted.start'", '2 prompts'],
      [{ ...model, accepted: { ...accepted, start: [0, 2] } }, "'accepted.start[1]'", '[0, 1]'],
      [{ ...model, accepted: { ...accepted, accepting: [1, 2] } }, "'accepted.accepting[1]'", '[0, 1]'],
      [{ vocab: 2, logProbs: [[0, 0.5]], next: [[-1, -1]], start: [0], references: [[[0]]] }, "'logProbs[0][1]'"],
      [{ ...model, references, next: [[-1, -1], [-1]] }, "'next[1]'", '2 numbers'],
      [
        {
          ...model,
          references,
          probabilities: [
            [0.3, 0.3],
            [0.5, 0.5],
          ],
        },
        'sum to 1',
        'state 0',
        '0.6',
      ],
      [
        {
          ...model,
          references,
          probabilities: [
            [null, 1],
            [0.5, 0.5],
          ],
        },
        'probabilities[0]',
      ],
      [{ ...model, references, start: [0, 2] }, "'start[1]'", '[0, 1]'],
      [{ ...model, references, start: [] }, "'start'", 'at least one prompt'],
      [{ ...model, references, stop: [1, 2] }, "'stop[1]'", '[0, 1]'],
      [{ ...model, references: [[[0]]] }, "'references'", '2 prompts'],
      [{ ...model, references: [[[0]], []] }, "'references[1]'", 'at least one'],
      [{ ...model, references: [[[0]], [[1], [0, 2]]] }, "'references[1][1][1]'", '[0, 1]'],
      [{ ...model, references, vocab: 2.5 }, 'vocab'],
      [{ ...model, references, vocab: undefined }, "'vocab'", 'a value'],
      [{ ...model, references, vocab: '2' }, 'vocab'],
      [{ ...model, references: [[[0]], [[0.5]]] }, 'references[1][0][0]', '0.5'],
    ];
    for (const [content, ...parts] of wrong) {
      const file = json(content);
      const { code, stdout, stderr } = await covn('best-of-n', file);
      expect([code, stdout], JSON.stringify(content)).toEqual([1, '']);
      for (const part of [file, ...parts]) expect(stderr, JSON.stringify(content)).toContain(part);
    }
    const deep = JSON.stringify({ ...model, references, stop: 0 }).replace(
      '"stop":0',
      `"stop":${'['.repeat(5000)}${']'.repeat(5000)}`,
    );
    expect((await covn('best-of-n', write(deep, 'json'))).stderr).toContain("'stop[0]'");
    expect((await covn('best-of-n', write('{', 'json'))).stderr).toContain('expected: JSON');
  });

  it('takes JSON Lines of samples for what they are, whatever their name and other columns', async () => {
    const lines = ['true', 'false'].map(
      (correct) => `{"problem":"a","correct":${correct},"start":1.5,"logProbs":[-1]}\n`,
    );
    const { code, stdout } = await covn('best-of-n', write(lines.join(''), 'json'), '-N', '1', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout).passAtN[0].value).toBe(0.5);
  });

  it('refuses options that would have no effect, and N above the draws', async () => {
    const file = json({ ...model, references });
    for (const argv of [
      [file, '--ties', 'first'],
      [file, '--correct', 'c'],
      [file, '-N', '128', '--draws', '64'],
      [write('problem,n,c\na,4,2\n'), '--draws', '9'],
    ]) {
      expect(await covn('best-of-n', ...argv)).toMatchObject({ code: 2, stdout: '' });
    }
  });
});
