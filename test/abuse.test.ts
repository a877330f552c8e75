/** Random arguments to the addon itself and to the public functions: an error or a result, never a crash or a hang. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as covn from '../lib/index.ts';
import { addon } from '../lib/native/index.ts';

function detached(): Float32Array {
  const array = new Float32Array(8);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

const length = fc.integer({ min: 0, max: 40 });
const junk: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(
    undefined,
    null,
    true,
    '',
    'f32',
    'bf16',
    'avx2',
    'scalar',
    'auto',
    0,
    1,
    2,
    3,
    -1,
    1.5,
    2 ** 31,
    2 ** 53,
    1e300,
  ),
  fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, 10n, Symbol.iterator, () => 1, [], {}, new Date(), detached()),
  length.map((n) => new Float32Array(n).fill(1)),
  length.map((n) => new Float32Array(new SharedArrayBuffer(4 * n))),
  length.map((n) => new Float64Array(n).fill(-1)),
  length.map((n) => new Uint16Array(n)),
  length.map((n) => new Int32Array(n)),
  length.map((n) => new Uint32Array(n)),
  length.map((n) => new BigInt64Array(n)),
  length.map((n) => new DataView(new ArrayBuffer(n))),
  fc.array(fc.double({ noDefaultInfinity: false }), { maxLength: 6 }),
  fc.array(fc.integer({ min: -3, max: 9 }), { maxLength: 6 }),
);

const names = [
  ...[
    'logits',
    'dtype',
    'vocab',
    'targets',
    'offsets',
    'temperature',
    'target',
    'threads',
    'sequence',
    'token',
    'logZ',
  ],
  ...[
    'entropy',
    'rank',
    'propagateNonFinite',
    'values',
    'sums',
    'logProbs',
    'models',
    'thresholds',
    'ladderOffsets',
    'units',
    'unitCount',
  ],
  ...['replicates', 'tailRank', 'seed', 'choices', 'choiceCounts', 'ladderScores', 'worstOpponent', 'limits'],
];

/** A sound request, so that what is changed in it reaches past the first check. */
const soundScore = () => ({
  logits: new Float32Array(12),
  dtype: 'f32',
  vocab: 4,
  targets: Int32Array.of(0, 3, -1),
  offsets: Float64Array.of(0, 1, 3),
  temperature: 1,
  target: 'scalar',
  threads: 1,
  sequence: new Float64Array(2),
});
const soundTournament = () => ({
  logProbs: new Float64Array(6).fill(-1),
  models: 2,
  thresholds: Float64Array.of(0.5, 1),
  ladderOffsets: Float64Array.of(0, 2),
  target: 'scalar',
  threads: 1,
  units: Int32Array.of(0, 1, 2),
  unitCount: 3,
  replicates: 2,
  tailRank: 1,
  seed: Uint32Array.of(0, 0),
  choices: new Int32Array(2),
  choiceCounts: new Float64Array(4),
  ladderScores: new Float64Array(4),
  worstOpponent: new Int32Array(2),
  limits: new Float64Array(6),
});

test('the addon, called with anything', () => {
  const native = addon() as unknown as Record<string, (...args: unknown[]) => unknown>;
  const functions = [
    'scoreLogits',
    'scoreLogitsSync',
    'sumTokens',
    'pairwiseCounts',
    'tournament',
    'cancelJob',
    'detach',
  ];
  const call = (name: string, request: unknown) => {
    try {
      const result = native[name]!(
        request,
        () => {},
        () => {},
      );
      // A number is the id of a job that was started: cancel every other one.
      if (typeof result === 'number' && result % 2 === 0) native.cancelJob!(result);
    } catch (error) {
      expect(error).toBeInstanceOf(Error);
    }
  };
  fc.assert(
    fc.property(
      fc.constantFrom(...functions),
      fc.constantFrom(soundScore, soundTournament, () => ({})),
      fc.dictionary(fc.constantFrom(...names), junk, { maxKeys: 4 }),
      (name, sound, changes) => call(name, { ...sound(), ...changes }),
    ),
    { seed: 3, numRuns: 6000 },
  );
  fc.assert(
    fc.property(fc.constantFrom(...functions), junk, (name, request) => call(name, request)),
    { seed: 4, numRuns: 1000 },
  );
});

test('the public functions, called with anything', async () => {
  const functions = [
    covn.scoreLogits,
    covn.scoreLogitsSync,
    covn.sumTokens,
    covn.pairwiseCoverage,
    covn.tournament,
    covn.coverageProfile,
    covn.passAtN,
    covn.passHatN,
    covn.bestOfNReward,
  ] as unknown as ((...args: unknown[]) => unknown)[];
  const keys = [
    'logits',
    'vocab',
    'targets',
    'offsets',
    'logProbs',
    'models',
    'N',
    'samples',
    'correct',
    'rewards',
    'dtype',
  ];
  const object = fc.dictionary(fc.constantFrom(...keys), junk, { maxKeys: 6 });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...functions), fc.oneof(object, junk), junk, junk, async (f, a, b, c) => {
      try {
        await f(a, b, c);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        // An error of covn's own, not one that escaped from inside.
        expect((error as { code?: string }).code, String((error as Error).stack)).toMatch(/^ERR_COVN_/);
      }
    }),
    { seed: 5, numRuns: 4000 },
  );
});
