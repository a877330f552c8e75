/** Models that learn, the rules by which they do, and exact measures of what they learned. */

export {
  type ExactOptions,
  exactKl,
  exactLogRatios,
  inherentVariance,
  type LogRatios,
  type MachineModel,
} from './exact.ts';
export { type Gradient, type LinearInput, LinearModel } from './linear.ts';
