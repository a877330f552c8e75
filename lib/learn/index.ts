/** Models that learn, the rules by which they do, and exact measures of what they learned. */

export {
  type ExactOptions,
  exactKl,
  exactLogRatios,
  inherentVariance,
  type LogRatios,
  type MachineModel,
} from './exact.ts';
export { type Fit, type FitCheckpoint, type FitOptions, fit, type LearningRule } from './fit.ts';
export { type Gradient, type LinearInput, LinearModel } from './linear.ts';
export type { Projection } from './projection.ts';
export { TestTimeModel, type TestTimeOptions } from './test-time.ts';
export { type TheoryInput, type TheoryStep, theoryStep, truncationWeights } from './theory.ts';
