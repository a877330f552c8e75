import { rangeError, shapeError, typeError } from '../errors.ts';
import { checkNumberList, type NumberList } from '../validate.ts';

/** Which cluster each observation belongs to. */
export interface ClusterIds {
  /** Cluster of each observation [n], in 0 .. count - 1, numbered in order of first appearance. */
  readonly ids: Int32Array;
  /** Number of different clusters. */
  readonly count: number;
}

/**
 * Turns labels (numbers or strings, one per observation) into dense cluster numbers.
 *
 * @param clusters labels [n]; equal labels mean one cluster (1 and '1' differ)
 * @param n the number of observations
 * @throws TypeError for a label that is neither number nor string; RangeError (ERR_COVN_SHAPE) for another length
 */
export function clusterIds(clusters: NumberList | readonly string[], n: number): ClusterIds {
  const typed = ArrayBuffer.isView(clusters) && !(clusters instanceof DataView);
  if (!Array.isArray(clusters) && !typed) throw typeError('an array of labels', 'clusters', clusters);
  if (clusters.length !== n) throw shapeError(`${n} labels`, 'clusters', `${clusters.length}`);
  const seen = new Map<unknown, number>();
  const ids = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    const label: unknown = clusters[i];
    if (typeof label !== 'string' && (typeof label !== 'number' || Number.isNaN(label))) {
      throw typeError('a number or a string', `clusters[${i}]`, label);
    }
    let id = seen.get(label);
    if (id === undefined) {
      id = seen.size;
      seen.set(label, id);
    }
    ids[i] = id;
  }
  return { ids, count: seen.size };
}

/** Refuses a single cluster of several observations: it says nothing about the variation between clusters. */
export function checkSeveralClusters(count: number): void {
  if (count < 2) throw rangeError('at least 2 clusters (an interval needs their variation)', 'clusters', count);
}

/** Weights [n] checked: finite, >= 0, of positive sum. Returns a Float64Array copy. */
export function checkWeights(weights: NumberList, n: number): Float64Array {
  if (weights.length !== n) throw shapeError(`${n} weights`, 'weights', `${weights.length}`);
  let sum = 0;
  const copy = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const w = weights[i];
    if (typeof w !== 'number' || !(w >= 0) || w === Number.POSITIVE_INFINITY) {
      throw rangeError('a finite number >= 0', `weights[${i}]`, w);
    }
    copy[i] = w;
    sum += w;
  }
  if (!(sum > 0) || sum === Number.POSITIVE_INFINITY) throw rangeError('a positive finite sum', 'weights', sum);
  return copy;
}

/** Observations of positive weight, with their weights and clusters. */
export interface GroupedRows {
  /** [rows] */
  readonly values: NumberList;
  /** [rows], > 0 */
  readonly weights: Float64Array;
  /** Clusters of the rows; each row its own where no labels were given. */
  readonly groups: ClusterIds;
}

/**
 * Checks clusters and weights of the values [n], and leaves out the observations of weight 0: they count nowhere, neither
 * as observations nor as clusters.
 *
 * @throws TypeError or RangeError as `clusterIds` and `checkWeights` do
 */
export function groupedRows(
  values: NumberList,
  { clusters, weights }: { readonly clusters?: NumberList | readonly string[]; readonly weights?: NumberList },
): GroupedRows {
  const n = values.length;
  const all =
    weights === undefined ? new Float64Array(n).fill(1) : checkWeights(checkNumberList(weights, 'weights'), n);
  const order = Int32Array.from(all, (_, i) => i);
  const groups = clusters === undefined ? { ids: order, count: n } : clusterIds(clusters, n);
  const rows = order.filter((i) => all[i]! > 0);
  if (rows.length === n) return { values, weights: all, groups };
  return {
    values: Float64Array.from(rows, (i) => values[i]!),
    weights: Float64Array.from(rows, (i) => all[i]!),
    groups: clusterIds(
      Int32Array.from(rows, (i) => groups.ids[i]!),
      rows.length,
    ),
  };
}

/** Sums of the values [n] in each of `count` clusters. */
export function groupSums(values: NumberList, { ids, count }: ClusterIds): Float64Array {
  const sums = new Float64Array(count);
  for (let i = 0; i < ids.length; i++) sums[ids[i]!]! += values[i]!;
  return sums;
}

/** What the sizes of the clusters alone say about a ratio mean sum(w y) / sum(w). */
export interface ClusterDesign {
  /** Number of observations of positive weight. */
  readonly n: number;
  /** Number of clusters of positive weight. */
  readonly clusters: number;
  /** Weight of each cluster, W_g. */
  readonly sizes: Float64Array;
  /** Sum of all weights, W. */
  readonly total: number;
  /** Small-sample factor of each squared cluster residual: 1 / (1 - W_g / W), the CR2 correction. */
  readonly factors: Float64Array;
  /** Degrees of freedom of a mean's variance; clusters - 1 where all clusters are alike. */
  readonly meanDf: number;
  /** Degrees of freedom of a proportion's effective sample size; clusters - 1 where all clusters are alike. */
  readonly proportionDf: number;
  /** Kish's effective number of clusters, (sum W_g)^2 / sum W_g^2. */
  readonly effective: number;
  /** Kish's effective number of observations, (sum w)^2 / sum w^2; n where all weights are equal. */
  readonly observations: number;
}

/**
 * The design of observations with weights w [n] in groups. The variance of the ratio mean m is
 * `sum_g factors_g z_g^2 / W^2`, `z_g = sum over g of w (y - m)`: CR2, which for equal clusters is the classical
 * G / (G - 1) form. Its degrees of freedom are Satterthwaite's (Bell & McCaffrey 2002, Survey Methodology 28:169-181)
 * under a working correlation rho inside clusters: rho = 1 for means, where unequal clusters cost most; rho = 0.1 for
 * proportions, whose exact limits are on the safe side already. Both were chosen by calibration (docs/estimates.md).
 *
 * @throws RangeError for fewer than 2 clusters of positive weight
 */
export function clusterDesign(weights: Float64Array, groups: ClusterIds): ClusterDesign {
  const sizes = groupSums(weights, groups);
  const squares = groupSums(
    weights.map((w) => w * w),
    groups,
  );
  let total = 0;
  let clusters = 0;
  for (const size of sizes) {
    total += size;
    if (size > 0) clusters++;
  }
  checkSeveralClusters(clusters);
  const shares = sizes.map((size) => size / total);
  const factors = shares.map((h) => 1 / Math.max(1 - h, Number.EPSILON));
  const df = (rho: number): number => {
    const variances = squares.map((square, g) => (square + rho * (sizes[g]! ** 2 - square)) / total ** 2);
    const exact = satterthwaite(shares, factors, variances);
    // It lies in 1 .. clusters - 1, which rounding can leave where one cluster has nearly all the weight.
    return exact > 1 ? Math.min(exact, clusters - 1) : 1;
  };
  const effective = 1 / shares.reduce((sum, h) => sum + h * h, 0);
  const observations = 1 / squares.reduce((sum, square) => sum + square / total / total, 0);
  const n = weights.reduce((count, w) => count + (w > 0 ? 1 : 0), 0);
  return { n, clusters, sizes, total, factors, meanDf: df(1), proportionDf: df(0.1), effective, observations };
}

/**
 * Degrees of freedom of `sum_g f_g z_g^2` for residuals z_g = T_g - h_g sum_k T_k of independent cluster totals T_g with
 * variances v_g: mean^2 / sum_{g,k} f_g f_k cov_gk^2, cov_gk = [g = k] v_g - h_k v_g - h_g v_k + h_g h_k V, V = sum v. The
 * double sum is taken through sums of powers in O(G).
 */
function satterthwaite(shares: Float64Array, factors: Float64Array, variances: Float64Array): number {
  const V = variances.reduce((sum, v) => sum + v, 0);
  let [mean, diagonal, hh, hv, vv] = [0, 0, 0, 0, 0];
  for (let g = 0; g < shares.length; g++) {
    const [h, f, v] = [shares[g]!, factors[g]!, variances[g]!];
    const off = h * h * V - 2 * h * v;
    const own = v + off;
    mean += f * own;
    diagonal += f * f * (own * own - off * off);
    hh += f * h * h;
    hv += f * h * v;
    vv += f * v * v;
  }
  // sum over all g, k of f_g f_k (h_g h_k V - h_k v_g - h_g v_k)^2
  const all = V * V * hh * hh + 2 * hh * vv + 2 * hv * hv - 4 * V * hh * hv;
  return (mean * mean) / (diagonal + all);
}
