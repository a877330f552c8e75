/** How large the experiment is. */
export const defaults = {
  seeds: { what: 'data sets, of which medians are taken', default: 12, min: 1, max: 1000 },
  largest: {
    what: 'largest length H of responses; the others are powers of two from 16',
    default: 1024,
    min: 32,
    max: 8192,
  },
  boundSeeds: { what: 'runs of SGD on which its lower bounds are checked', default: 20, min: 1, max: 1000 },
  steps: { what: 'steps of the lower bounds, T', default: 1000, min: 10, max: 100_000 },
  responses: {
    what: 'responses to each prompt on which test-time training is judged',
    default: 200,
    min: 20,
    max: 100_000,
  },
};

export type Settings = typeof defaults;

export const lengthsUpTo = (largest: number): number[] =>
  Array.from({ length: Math.floor(Math.log2(largest / 16)) + 1 }, (_, k) => 16 * 2 ** k);
