// The loops that one would write in plain JavaScript: the peer that is always there, and the check of the others.

/** Token log-probs of rows of logits: [rows], nats, in double. `decode` maps 16-bit patterns to values. */
export function logProbs({ logits, vocab, targets }, rows, decode) {
  const out = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const begin = row * vocab;
    out[row] = decode
      ? decodedLogProb(logits, begin, vocab, targets[row], decode)
      : logProb(logits, begin, vocab, targets[row]);
  }
  return out;
}

function logProb(x, begin, vocab, target) {
  const end = begin + vocab;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = begin; i < end; i++) if (x[i] > max) max = x[i];
  let sum = 0;
  for (let i = begin; i < end; i++) sum += Math.exp(x[i] - max);
  return x[begin + target] - max - Math.log(sum);
}

function decodedLogProb(x, begin, vocab, target, decode) {
  const end = begin + vocab;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = begin; i < end; i++) if (decode[x[i]] > max) max = decode[x[i]];
  let sum = 0;
  for (let i = begin; i < end; i++) sum += Math.exp(decode[x[i]] - max);
  return decode[x[begin + target]] - max - Math.log(sum);
}

/** Logits of one row, [vocab], in double: its hidden state [width] times the rows of `weight` [vocab, width]. */
export function headLogits({ hidden, weight, width }, row, vocab, decode) {
  const state = Float64Array.from(hidden.subarray(row * width, (row + 1) * width), (v) => (decode ? decode[v] : v));
  const logits = new Float64Array(vocab);
  for (let token = 0; token < vocab; token++) {
    const begin = token * width;
    let sum = 0;
    if (decode) for (let d = 0; d < width; d++) sum += state[d] * decode[weight[begin + d]];
    else for (let d = 0; d < width; d++) sum += state[d] * weight[begin + d];
    logits[token] = sum;
  }
  return logits;
}

/** Log ratio and KL(reference || model), summed over rows, in nats. */
export function pairSums({ reference, model, vocab, targets }, rows, decode) {
  const value = decode ? (x, i) => decode[x[i]] : (x, i) => x[i];
  let logRatio = 0;
  let kl = 0;
  for (let row = 0; row < rows; row++) {
    const begin = row * vocab;
    const end = begin + vocab;
    let [maxP, maxQ] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (let i = begin; i < end; i++) {
      maxP = Math.max(maxP, value(reference, i));
      maxQ = Math.max(maxQ, value(model, i));
    }
    let [sumP, sumQ, weighted] = [0, 0, 0];
    for (let i = begin; i < end; i++) {
      const p = value(reference, i) - maxP;
      const q = value(model, i) - maxQ;
      const mass = Math.exp(p);
      sumP += mass;
      sumQ += Math.exp(q);
      weighted += mass * (p - q);
    }
    const shift = Math.log(sumQ) - Math.log(sumP);
    const at = begin + targets[row];
    logRatio += value(reference, at) - maxP - (value(model, at) - maxQ) + shift;
    kl += weighted / sumP + shift;
  }
  return { logRatio, kl };
}

/**
 * #{ y < n : log pi_j(y) - log pi_i(y) >= thresholds[k] } as [8, models, models], of rows `stride` apart. One pass for
 * all eight thresholds, with the counts in variables: three times as fast as a loop over thresholds.
 */
export function pairwiseCounts(logProbs, models, n, stride, thresholds) {
  const counts = new Float64Array(8 * models * models);
  const [t0, t1, t2, t3, t4, t5, t6, t7] = thresholds;
  for (let i = 0; i < models; i++) {
    for (let j = 0; j < models; j++) {
      const [a, b] = [j * stride, i * stride];
      let [c0, c1, c2, c3, c4, c5, c6, c7] = [0, 0, 0, 0, 0, 0, 0, 0];
      for (let y = 0; y < n; y++) {
        const d = logProbs[a + y] - logProbs[b + y];
        c0 += d >= t0 ? 1 : 0;
        c1 += d >= t1 ? 1 : 0;
        c2 += d >= t2 ? 1 : 0;
        c3 += d >= t3 ? 1 : 0;
        c4 += d >= t4 ? 1 : 0;
        c5 += d >= t5 ? 1 : 0;
        c6 += d >= t6 ? 1 : 0;
        c7 += d >= t7 ? 1 : 0;
      }
      [c0, c1, c2, c3, c4, c5, c6, c7].forEach((count, k) => {
        counts[(k * models + i) * models + j] = count;
      });
    }
  }
  return counts;
}

/** The mean of 1 - C(n - c, N) / C(n, N) over problems, as a product of min(c, N) factors. */
export function passAtN(n, correct, N) {
  let total = 0;
  for (let problem = 0; problem < correct.length; problem++) {
    const c = correct[problem];
    if (n - c < N) {
      total += 1;
      continue;
    }
    const [terms, larger] = c < N ? [c, N] : [N, c];
    let avoid = 1;
    for (let i = 0; i < terms; i++) avoid *= (n - larger - i) / (n - i);
    total += 1 - avoid;
  }
  return total / correct.length;
}

/** exp(x - max) of a row, summed up on the way: the distribution function, unscaled. */
function cumulate(x, begin, vocab, sums) {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < vocab; i++) if (x[begin + i] > max) max = x[begin + i];
  let sum = 0;
  for (let i = 0; i < vocab; i++) sums[i] = sum += Math.exp(x[begin + i] - max);
}

/** N token ids from each row, by bisection of its distribution function. */
export function sampleTokens(logits, vocab, rows, N) {
  const ids = new Int32Array(rows * N);
  const sums = new Float64Array(vocab);
  for (let row = 0; row < rows; row++) {
    cumulate(logits, row * vocab, vocab, sums);
    for (let k = 0; k < N; k++) {
      const place = Math.random() * sums[vocab - 1];
      let [low, high] = [0, vocab - 1];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (sums[middle] > place) high = middle;
        else low = middle + 1;
      }
      ids[row * N + k] = low;
    }
  }
  return ids;
}

/** Mean and standard deviation of a token's -log p, nats. */
export function surprisal(row) {
  const logZ = -logProb(row, 0, row.length, 0) + row[0];
  let [mean, squares] = [0, 0];
  for (const x of row) {
    const nats = logZ - x;
    mean += Math.exp(-nats) * nats;
    squares += Math.exp(-nats) * nats * nats;
  }
  return { entropy: mean, deviation: Math.sqrt(squares - mean * mean) };
}

/** Walker's tables of each state, by Vose's method. */
export function aliasTables({ vocab, logProbs }) {
  const share = new Float64Array(logProbs.length).fill(1);
  const alias = Int32Array.from(logProbs, (_, i) => i % vocab);
  for (let begin = 0; begin < logProbs.length; begin += vocab) {
    const left = Float64Array.from(logProbs.subarray(begin, begin + vocab), (x) => Math.exp(x) * vocab);
    const [small, large] = [[], []];
    for (const [token, mass] of left.entries()) (mass < 1 ? small : large).push(token);
    while (small.length > 0 && large.length > 0) {
      const token = small.pop();
      const other = large.at(-1);
      share[begin + token] = left[token];
      alias[begin + token] = other;
      left[other] -= 1 - left[token];
      if (left[other] < 1) small.push(large.pop());
    }
  }
  return { share, alias };
}

/** The log-probs of `count` responses of `length` tokens from state 0, summed. */
export function rollOut({ vocab, logProbs, next }, { share, alias }, count, length) {
  let total = 0;
  for (let response = 0; response < count; response++) {
    let state = 0;
    for (let h = 0; h < length; h++) {
      const u = Math.random() * vocab;
      const column = u | 0;
      const entry = state * vocab + column;
      const chosen = u - column < share[entry] ? entry : state * vocab + alias[entry];
      total += logProbs[chosen];
      state = next[chosen];
    }
  }
  return total;
}

/**
 * SGD on a linear model with dense features [states, vocab, dimension], from 0 and state 0: a step for each `batch`
 * responses, or with rule 'token-sgd' for each token. Gives the parameters, [dimension].
 */
export function fitLinear({ vocab, dimension, features, next }, { tokens, offsets }, { rule, batch, stepSize }) {
  const theta = new Float64Array(dimension);
  const gradient = new Float64Array(dimension);
  const pull = new Float64Array(vocab);
  const step = (count) => {
    for (let k = 0; k < dimension; k++) theta[k] += (stepSize * gradient[k]) / count;
    gradient.fill(0);
  };
  const count = offsets.length - 1;
  for (let i = 0; i < count; i++) {
    let state = 0;
    for (let h = offsets[i]; h < offsets[i + 1]; h++) {
      addTokenGradient(features, state * vocab, tokens[h], theta, pull, gradient);
      state = next[state * vocab + tokens[h]];
      if (rule === 'token-sgd') step(1);
    }
    const inBatch = (i % batch) + 1;
    if (rule !== 'token-sgd' && (inBatch === batch || i + 1 === count)) step(inBatch);
  }
  return theta;
}

/** gradient += phi of the token - the mean of phi. */
function addTokenGradient(features, first, token, theta, pull, gradient) {
  const [vocab, dimension] = [pull.length, theta.length];
  let max = Number.NEGATIVE_INFINITY;
  for (let v = 0, at = first * dimension; v < vocab; v++, at += dimension) {
    let logit = 0;
    for (let k = 0; k < dimension; k++) logit += features[at + k] * theta[k];
    pull[v] = logit;
    if (logit > max) max = logit;
  }
  let sum = 0;
  for (let v = 0; v < vocab; v++) sum += pull[v] = Math.exp(pull[v] - max);
  for (let v = 0, at = first * dimension; v < vocab; v++, at += dimension) {
    const weight = (v === token ? 1 : 0) - pull[v] / sum;
    for (let k = 0; k < dimension; k++) gradient[k] += weight * features[at + k];
  }
}
