import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CoverageAccumulator, coverageProfile } from '../lib/coverage/index.ts';

const INFINITY = Number.POSITIVE_INFINITY;
const thresholds = [1, 2, 4, 8, 16, 32];
const values = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.double({ min: -3, max: 5, noNaN: true }) },
    { weight: 3, arbitrary: fc.constantFrom(...thresholds.map(Math.log)) },
    { weight: 1, arbitrary: fc.constant(INFINITY) },
  ),
  { minLength: 2, maxLength: 60 },
);
const settings = { numRuns: 150, seed: 20251015 };

describe('CoverageAccumulator', () => {
  it('agrees with the whole profile at its thresholds', () => {
    fc.assert(
      fc.property(values, (list) => {
        const whole = coverageProfile(list);
        const profile = new CoverageAccumulator({ thresholds }).add(list).profile();
        expect(profile.n).toBe(list.length);
        expect(profile.band).toBe(whole.band);
        expect(profile.curve()).toEqual(whole.curve(thresholds));
        if (list.includes(INFINITY)) expect(profile.kl.value).toBe(INFINITY);
        else expect(profile.kl.value).toBeCloseTo(whole.kl.value, 12);
      }),
      settings,
    );
  });

  it('stays on the safe side of the whole profile between them', () => {
    fc.assert(
      fc.property(
        values,
        fc.integer({ min: 1, max: 100 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (list, N, share) => {
          const whole = coverageProfile(list);
          const profile = new CoverageAccumulator({ thresholds }).add(list).profile();
          const [a, b] = [profile.bestOfN(N), whole.bestOfN(N)];
          expect(a.lower).toBeLessThanOrEqual(b.lower);
          expect(a.upper).toBeGreaterThanOrEqual(b.upper - 1e-12);
          expect(a.band.lower).toBeLessThanOrEqual(b.band.lower);
          expect(a.band.upper).toBeGreaterThanOrEqual(b.band.upper - 1e-12);
          const [c, d] = [profile.inverse(share), whole.inverse(share)];
          expect(c.lower).toBeLessThanOrEqual(d.lower * (1 + 1e-12));
          expect(c.value).toBeGreaterThanOrEqual(d.value * (1 - 1e-12));
          expect(c.upper).toBeGreaterThanOrEqual(d.upper * (1 - 1e-12));
          expect(profile.plan({ regret: share })).toBeGreaterThanOrEqual(whole.plan({ regret: share }));
        },
      ),
      settings,
    );
  });

  it('gives the same for any split, in any order of merging', () => {
    fc.assert(
      fc.property(values, fc.nat(60), fc.boolean(), (list, cut, swap) => {
        const whole = new CoverageAccumulator({ thresholds }).add(list).toJSON();
        const a = new CoverageAccumulator({ thresholds }).add(list.slice(0, cut));
        const b = new CoverageAccumulator({ thresholds });
        for (const x of list.slice(cut)) b.add(x);
        const merged = (swap ? b.merge(a) : a.merge(b)).toJSON();
        expect(merged.counts).toEqual(whole.counts);
        expect(merged.infinite).toBe(whole.infinite);
        expect(merged.mean).toBeCloseTo(whole.mean, 12);
        expect(merged.squares).toBeCloseTo(whole.squares, 9);
      }),
      settings,
    );
  });

  it('keeps a small spread on a large mean', () => {
    const a = new CoverageAccumulator({ thresholds });
    const b = new CoverageAccumulator({ thresholds });
    for (let i = 0; i < 1000; i++) (i % 2 ? a : b).add(1e9 + (i % 5));
    const { value, lower, upper, method } = a.merge(b).profile().kl;
    expect(value).toBeCloseTo(1e9 + 2, 5);
    const small = coverageProfile(Array.from({ length: 1000 }, (_, i) => i % 5)).kl;
    expect(upper - lower).toBeCloseTo(small.upper - small.lower, 5);
    expect(method).toBe('t');
  });

  it('survives JSON text', () => {
    fc.assert(
      fc.property(values, (list) => {
        const accumulator = new CoverageAccumulator({ thresholds, confidence: 0.9 }).add(list);
        const restored = CoverageAccumulator.fromJSON(JSON.parse(JSON.stringify(accumulator)));
        expect(restored.toJSON()).toEqual(accumulator.toJSON());
        expect(restored.n).toBe(list.length);
        expect(restored.add(3).profile().toJSON()).toEqual(accumulator.add(3).profile().toJSON());
      }),
      settings,
    );
  });

  it('takes a profile as it is now', () => {
    const accumulator = new CoverageAccumulator({ thresholds }).add([1, 2]);
    const profile = accumulator.profile();
    accumulator.add([5, 5, 5]);
    expect(profile.n).toBe(2);
    expect(profile.at(32).value).toBe(0);
    expect(new CoverageAccumulator({ thresholds }).add(1).profile().kl.method).toBe('undefined (n = 1)');
  });

  it('sorts thresholds and drops repeats', () => {
    expect(Array.from(new CoverageAccumulator({ thresholds: [8, 2, 8] }).thresholds)).toEqual([2, 8]);
  });

  it('knows nothing between or beyond its thresholds', () => {
    const profile = new CoverageAccumulator({ thresholds: [2, 8] }).add([0, 1, 2, 3]).profile();
    expect(() => profile.at(4)).toThrow(/one of the thresholds 2, 8 for N but received 4/);
    expect(() => profile.at(1)).toThrow(RangeError);
    expect(profile.bestOfN(5).lower).toBe(0);
    expect(profile.bestOfN(2)).toMatchObject({ lower: 1 / 8, M: 8 });
    expect(profile.inverse(0.1)).toMatchObject({ value: INFINITY, upper: INFINITY, lower: 2 });
    expect(profile.inverse(0.75)).toMatchObject({ value: 2, lower: 1 });
  });
});

describe('refusals', () => {
  it('adds nothing where one of the values is bad', () => {
    const accumulator = new CoverageAccumulator({ thresholds }).add([1, 2]);
    const before = accumulator.toJSON();
    for (const bad of [[1, Number.NaN], [1, Number.NEGATIVE_INFINITY], [1, 'x'], 'x', null, Number.NaN]) {
      expect(() => accumulator.add(bad as number[])).toThrow();
    }
    expect(accumulator.toJSON()).toEqual(before);
  });

  it.each([
    [{ thresholds: [] }],
    [{ thresholds: [0.5] }],
    [{ thresholds: [INFINITY] }],
    [{ thresholds: [Number.NaN] }],
    [{ thresholds: ['2'] }],
    [{ thresholds: [2], confidence: 2 }],
    [{ thresholds: [2], threshold: 3 }],
    [{}],
    [undefined],
  ])('constructor with %j', (options) => {
    expect(() => new CoverageAccumulator(options as never)).toThrow(/Expected/);
  });

  it('merges only what fits', () => {
    const accumulator = new CoverageAccumulator({ thresholds });
    expect(() => accumulator.merge(new CoverageAccumulator({ thresholds: [1, 2] }))).toThrow(RangeError);
    expect(() => accumulator.merge(new CoverageAccumulator({ thresholds: [1, 2, 4, 8, 16, 33] }))).toThrow(RangeError);
    const other = new CoverageAccumulator({ thresholds, confidence: 0.9 }).add(1);
    expect(() => accumulator.merge(other)).toThrow(
      'Expected an accumulator of confidence 0.95 for other but received 0.9',
    );
    expect(accumulator.n).toBe(0);
    expect(() => accumulator.merge({} as never)).toThrow(TypeError);
    expect(() => accumulator.profile()).toThrow(RangeError);
  });

  const good = { thresholds: [1, 2], confidence: 0.95, counts: [1, 2, 3], infinite: 1, mean: 0.5, squares: 2 };
  it.each([
    null,
    [],
    'text',
    {},
    { ...good, thresholds: [2, 1] },
    { ...good, thresholds: [1, 1] },
    { ...good, thresholds: [] },
    { ...good, thresholds: [0, 2] },
    { ...good, thresholds: { length: 2 } },
    { ...good, confidence: undefined },
    { ...good, confidence: 1 },
    { ...good, counts: [1, 2] },
    { ...good, counts: [1, 2, -3] },
    { ...good, counts: [1, 2, 3.5] },
    { ...good, counts: [2 ** 53 - 1, 2 ** 53 - 1, 3] },
    { ...good, infinite: 4 },
    { ...good, infinite: -1 },
    { ...good, mean: null },
    { ...good, mean: '0' },
    { ...good, squares: -1 },
    { ...good, squares: null },
    { ...good, counts: [0, 0, 1] },
    { ...good, counts: [0, 0, 2] },
    { ...good, extra: 1 },
  ])('fromJSON of %j', (json) => {
    expect(() => CoverageAccumulator.fromJSON(json)).toThrow(expect.objectContaining({ code: 'ERR_COVN_FORMAT' }));
  });

  it('fromJSON of good data', () => {
    expect(CoverageAccumulator.fromJSON(good).n).toBe(6);
  });
});
