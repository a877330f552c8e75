/** Estimates: a statistic with its confidence interval, shared by every domain. */

export { type BootstrapSettings, bcaLimits } from './bootstrap.ts';
export {
  type ClusterDesign,
  type ClusterIds,
  checkSeveralClusters,
  checkWeights,
  clusterDesign,
  clusterIds,
  type GroupedRows,
  groupedRows,
  groupSums,
} from './clusters.ts';
export {
  infiniteEstimate,
  type MeanOptions,
  meanEstimate,
  orderIsIrrelevant,
  talliedMeanEstimate,
  tEstimate,
  undefinedEstimate,
} from './mean.ts';
export { PhiloxStream, philox } from './philox.ts';
export {
  checkConfidence,
  clusteredProportion,
  degreesFactor,
  effectiveSize,
  exactLimits,
  HitSums,
  type ProportionSums,
  proportionEstimate,
  sumsProportion,
} from './proportion.ts';
export {
  betaCdf,
  betaQuantile,
  logGamma,
  normalCdf,
  normalQuantile,
  stirlingRemainder,
  studentQuantile,
} from './special.ts';
export type { Estimate, EstimateOptions } from './types.ts';
