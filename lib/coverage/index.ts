/** Coverage profiles and what follows from them (arXiv 2510.15020). */

export { type AccumulatorOptions, type AccumulatorState, CoverageAccumulator } from './accumulator.ts';
export type { ChainRuleInput } from './bounds.ts';
export * as bounds from './bounds.ts';
export {
  CoverageProfile,
  type CoverageReport,
  type CurvePoint,
  coverageProfile,
  type RegretBracket,
} from './profile.ts';
export type { CoverageOptions } from './survival.ts';
