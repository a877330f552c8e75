import { describe, expect, it } from 'vitest';
import { inUnit } from '../lib/cli/units.ts';
import { coverageProfile } from '../lib/coverage/index.ts';
import { logRatios, readLogProbs, readLogRatios } from '../lib/io/index.ts';
import { inNats } from '../lib/io/values.ts';
import { refusal, temporaryFiles } from './support/files.ts';

const { file } = temporaryFiles();

describe('kinds and units from names', () => {
  it('are refused where the names disagree', async () => {
    const mixed = file('a_logp,b_logp_bits\n-1.5,-2.5\n-2.5,-4.5\n');
    const error = await refusal(readLogProbs(mixed));
    expect([error.expected, error.found]).toEqual(['columns of one unit', 'a_logp: not said, b_logp_bits: bits']);
    expect(error.hint).toContain('--unit');
    expect((await readLogProbs(mixed, { unit: 'bits' })).reading.unit).toBe('bits');
    const two = file('a_nats,b_bits\n-1.5,-2.5\n');
    expect((await refusal(readLogProbs(two))).found).toBe('a_nats: nats, b_bits: bits');
    const kinds = file('a_logprob,b_surprisal\n-1.5,2.5\n');
    expect((await refusal(readLogProbs(kinds))).expected).toBe('columns of one kind');
    const sign = file('a_surprisal,b\n-1.5,-2.5\n');
    expect((await refusal(readLogProbs(sign))).expected).toContain('by their signs: logprob');
  });

  it('do not matter to probabilities', async () => {
    const { reading } = await readLogProbs(file('a_prob,b_prob_bits\n0.5,0.25\n'));
    expect(reading.text).toBe('2 columns as probability');
  });

  it('keep a column of whole numbers whose name says what it is', async () => {
    const read = await readLogProbs(file('len,a_bits,b_bits\n3,0,-1\n4,0,-2\n'), { kind: 'logprob' });
    expect(read.models).toEqual(['a_bits', 'b_bits']);
  });

  it('serve log ratios too', async () => {
    expect(await readLogRatios(file('ratio_bits\n1\n2\n'), 'ratio_bits')).toMatchObject({
      unit: 'bits',
      logRatios: Float64Array.of(Math.log(2), Math.log(4)),
    });
  });
});

describe('ties at log N', () => {
  it('whole numbers of bits and of powers of ten are logarithms of their powers', () => {
    for (let k = 1; k < 1024; k++) expect(inNats(k, 'bits')).toBe(Math.log(2 ** k));
    for (let k = 1; k <= 308; k++) expect(inNats(-k, 'base10')).toBe(-Math.log(Number(`1e${k}`)));
    expect([inNats(1.5, 'bits'), inNats(0, 'bits'), inNats(-Infinity, 'bits'), inNats(2, 'nats')]).toEqual([
      1.5 * Math.LN2,
      0,
      -Infinity,
      2,
    ]);
    expect(inNats(2000, 'bits')).toBe(2000 * Math.LN2);
  });

  it('count in coverage, whatever the log-probs themselves', async () => {
    for (const [unit, base] of [
      ['bits', 2],
      ['base10', 10],
    ] as const) {
      const rows = Array.from({ length: 5 }, (_, k) => `${-(k + 0.375)},${-(k + 0.375) - (k + 1)}`);
      const given = await readLogProbs(file(`a,b\n${rows.join('\n')}\n`), { unit });
      const profile = coverageProfile(logRatios(given, 0, 1));
      expect([1, 2, 3, 4, 5].map((k) => profile.at(base ** k).value)).toEqual([1, 0.8, 0.6, 0.4, 0.2]);
    }
  });

  it('count for probabilities that are powers of two', async () => {
    const rows = [1, 2, 3, 4, 5].map((k) => `${0.5 ** k},${0.5 ** (2 * k)}`);
    const given = await readLogProbs(file(`a_prob,b_prob\n${rows.join('\n')}\n`));
    const profile = coverageProfile(logRatios(given, 0, 1));
    expect([1, 2, 3, 4, 5].map((k) => profile.at(2 ** k).value)).toEqual([1, 0.8, 0.6, 0.4, 0.2]);
  });

  it('have a threshold that is the logarithm in the unit, for tournaments', () => {
    expect(inUnit(7, 'nats')).toBe(7);
    for (let k = 0; k <= 49; k++) expect(Math.log(inUnit(2 ** k, 'bits'))).toBe(k);
    for (let k = 0; k <= 15; k++) expect(Math.log(inUnit(10 ** k, 'base10'))).toBe(k);
    for (let N = 1; N < 100; N += 0.37) {
      const got = Math.log(inUnit(N, 'bits'));
      expect(got).toBeLessThanOrEqual(Math.log2(N));
      expect(got).toBeCloseTo(Math.log2(N), 14);
    }
  });
});
