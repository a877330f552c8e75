// scoreLogits: token log-probs of logits that are far larger than the caches, against reading them once.
import { bytesOf, decodingTable, gaussians, targetsFor } from './data.mjs';
import { runGroup } from './group.mjs';
import * as plain from './peers/javascript.mjs';

const SUITE = 'logprob';
// Enough for the rate of slow things.
const FEW_BYTES = 2 ** 24;

/** Logits of one dtype and deviation as rows of V: one memory serves every V. */
function batch(values, dtype, sd, vocab, rowLimit) {
  const rows = Math.max(1, Math.min(rowLimit ?? Number.POSITIVE_INFINITY, Math.floor(values.length / vocab)));
  const logits = values.subarray(0, rows * vocab);
  return {
    logits,
    dtype,
    sd,
    vocab,
    rows,
    targets: targetsFor(rows, vocab),
    decode: dtype === 'f32' ? undefined : decodingTable(dtype),
  };
}

const bytes = ({ rows, vocab, dtype }) => rows * vocab * bytesOf(dtype);
const part = (data, size) => {
  const rows = Math.max(1, Math.min(data.rows, Math.floor(size / bytesOf(data.dtype) / data.vocab)));
  return { ...data, rows, logits: data.logits.subarray(0, rows * data.vocab), targets: data.targets.subarray(0, rows) };
};

/** Arrays of [rows] for the outputs, allocated beforehand as those of the peers are. */
function outputArrays(rows, names) {
  const arrays = {
    token: () => new Float32Array(new SharedArrayBuffer(4 * rows)),
    logZ: () => new Float64Array(new SharedArrayBuffer(8 * rows)),
    entropy: () => new Float32Array(new SharedArrayBuffer(4 * rows)),
    rank: () => new Int32Array(new SharedArrayBuffer(4 * rows)),
  };
  return Object.fromEntries(names.map((name) => [name, arrays[name]().fill(0)]));
}

/** covn's entry of a group. Its last result is kept for the check. */
function ours(bench, by, data, { outputs = ['token'], ...options } = {}) {
  const { logits, dtype, vocab, targets, rows } = data;
  const settings = { ownership: 'borrow', threads: bench.threads, signal: bench.signal, ...options };
  settings.outputs = outputArrays(rows, outputs);
  const entry = { by, work: bytes(data), data };
  entry.call = async () => {
    entry.scores = await bench.covn.scoreLogits({ logits, dtype, vocab, targets }, settings);
  };
  return entry;
}

/** A few rows against double precision, so that nothing wrong is ever called fast. */
function check({ by, data, scores }) {
  const rows = Math.min(data.rows, 4);
  const expected = plain.logProbs(data, rows, data.decode);
  for (let row = 0; row < rows; row++) {
    const error = Math.abs(scores.token[row] - expected[row]);
    // The bound on the log-prob, and its rounding to float.
    if (!(error <= 4e-6 + 1.2e-7 * Math.abs(expected[row]))) {
      throw new Error(
        `${by}: the log-prob of row ${row} is ${scores.token[row]}, in double precision ${expected[row]}`,
      );
    }
  }
}

async function group(bench, name, entries, data, peers = []) {
  const spec = { suite: SUITE, case: name, unit: 'GB/s', limit: 'read', memory: data.logits.buffer };
  await runGroup(bench, { ...spec, ours: entries, peers, check: () => entries.forEach(check) });
}

function peersOf(bench, data) {
  const few = part(data, FEW_BYTES);
  const script = { by: 'plain JavaScript', work: bytes(few), sync: true };
  script.call = () => plain.logProbs(few, few.rows, few.decode);
  return [script, ...bench.peers.entries(SUITE, data, bench.effort)];
}

/** Each storage format and vocabulary: covn at its best, and every peer. */
async function sizes(bench, values, dtype, vocab) {
  const data = batch(values, dtype, 5, vocab, bench.sizes.rows);
  const name = `${dtype}, V = ${vocab}, ${data.rows} rows`;
  await group(bench, name, [ours(bench, `covn ${bench.device}`, data)], data, peersOf(bench, data));
}

async function outputs(bench, data, name) {
  const all = { outputs: ['token', 'logZ', 'entropy', 'rank'] };
  const entries = [ours(bench, 'token alone', data), ours(bench, 'token, logZ, entropy, rank', data, all)];
  await group(bench, `outputs, ${name}`, entries, data);
}

async function deviations(bench, values, data, name) {
  const wide = batch(gaussians(values.length, data.dtype, 30), data.dtype, 30, data.vocab, bench.sizes.rows);
  const entries = [ours(bench, 'standard deviation 5', data), ours(bench, 'standard deviation 30', wide)];
  await group(bench, `deviation, ${name}`, entries, data);
}

async function devices(bench, data, name) {
  const found = bench.covn
    .devices()
    .filter(({ available }) => available)
    .map(({ name }) => name)
    .reverse();
  const entries = found.map((device) =>
    ours(bench, `covn ${device}`, device === 'scalar' ? part(data, FEW_BYTES) : data, { device }),
  );
  await group(bench, `devices, ${name}`, entries, data);
}

/** One short response, as a server scores it: what a call costs. */
async function smallCall(bench) {
  const vocab = 64;
  const rows = 32;
  const data = { ...batch(gaussians(rows * vocab, 'f32', 5), 'f32', 5, vocab), rows };
  const { logits, targets } = data;
  const options = { outputs: { token: false } };
  let total;
  const mine = { by: `covn ${bench.device}, scoreLogitsSync`, work: 1e3, sync: true };
  mine.call = () => {
    total = bench.covn.scoreLogitsSync({ logits, vocab, targets }, options).sequence[0];
  };
  const script = { by: 'plain JavaScript', work: 1e3, sync: true };
  script.call = () => plain.logProbs(data, rows).reduce((sum, token) => sum + token, 0);
  const spec = { suite: SUITE, case: 'one response of 32 tokens, V = 64', unit: 'million calls/s' };
  await runGroup(bench, {
    ...spec,
    ours: [mine],
    peers: [script],
    check: () => {
      if (!(Math.abs(total - script.call()) <= 1e-4)) throw new Error(`${mine.by}: ${total} is not ${script.call()}`);
    },
  });
}

export async function logprob(bench) {
  const { quick } = bench;
  const mib = bench.sizes.mib ?? (quick ? 64 : 1024);
  const dtypes = bench.sizes.dtypes ?? (quick ? ['f32', 'bf16'] : ['f32', 'bf16', 'f16']);
  const vocabs = bench.sizes.vocabs ?? (quick ? [32000, 32] : [32000, 128256, 262144, 512, 32]);
  const large = Math.max(...vocabs.slice(0, 2));
  for (const dtype of dtypes) {
    const count = Math.max((mib * 2 ** 20) / bytesOf(dtype), ...vocabs);
    const values = gaussians(count, dtype, 5);
    for (const vocab of vocabs) await sizes(bench, values, dtype, vocab);
    if (dtype !== dtypes[0]) continue;
    const data = batch(values, dtype, 5, large, bench.sizes.rows);
    const name = `${dtype}, V = ${large}, ${data.rows} rows`;
    await outputs(bench, data, name);
    await deviations(bench, values, data, name);
    await devices(bench, data, name);
  }
  await smallCall(bench);
}
