/** Arbitrary samples of log ratios for property tests. */

import fc from 'fast-check';

/** Log ratios on a grid of powers of two, so that ties at thresholds are common. */
export const tiedLogRatios = fc.array(
  fc.oneof(
    fc.integer({ min: -3, max: 9 }).map((k) => Math.log(2 ** k)),
    fc.constant(Number.POSITIVE_INFINITY),
  ),
  { minLength: 2, maxLength: 40 },
);
