// fit: SGD on responses of a linear model, a response or a batch a step, and a step for each token, beside the same loop
// in JavaScript.
import { gaussians } from './data.mjs';
import { runGroup } from './group.mjs';
import * as plain from './peers/javascript.mjs';

const SUITE = 'learn';
const VOCAB = 64;
const DIMENSION = 64;
const LENGTH = 64;
const STEP = 1e-3;

/** A linear model whose states are the tokens before, and responses that it draws. */
async function problem({ covn, threads, signal }, responses) {
  const features = Float64Array.from(gaussians(VOCAB * VOCAB * DIMENSION, 'f32', 1));
  const next = Int32Array.from({ length: VOCAB * VOCAB }, (_, e) => e % VOCAB);
  const theta = new Float64Array(DIMENSION).fill(0.1);
  const truth = new covn.LinearModel({ vocab: VOCAB, next, start: [0], dimension: DIMENSION, features, theta });
  const data = await truth.sample([0], { N: responses, seed: 1, maxLength: LENGTH }, { threads, signal });
  return { features, next, data, model: truth.withTheta(new Float64Array(DIMENSION)) };
}

/** The first responses of some data. */
const some = ({ prompts, tokens, offsets }, count) => ({
  prompts: prompts.subarray(0, count),
  tokens: tokens.subarray(0, offsets[count]),
  offsets: offsets.subarray(0, count + 1),
});

async function compare(bench, { model, data, ...shape }, { name, options, threads }) {
  const { covn, signal, quick } = bench;
  const tokens = data.tokens.length;
  const few = some(data, Math.min(data.prompts.length, quick ? 64 : 1024));
  const run = (responses) =>
    covn.fit(model, responses, { stepSize: STEP, projection: 'none', ...options }, { threads, signal });
  const ours = { by: `covn ${bench.device}`, work: 1e3 * tokens, call: () => run(data) };
  const script = { by: 'plain JavaScript', work: 1e3 * few.tokens.length, sync: true };
  let theta;
  script.call = () => {
    theta = plain.fitLinear({ ...shape, vocab: VOCAB, dimension: DIMENSION }, few, { stepSize: STEP, ...options });
  };
  const mine = await run(few);
  await runGroup(bench, {
    ...{ suite: SUITE, case: `${name}, ${data.prompts.length} x ${LENGTH} tokens, V = ${VOCAB}, d = ${DIMENSION}` },
    ...{ unit: 'million tokens/s', ours: [ours], peers: [script] },
    check: () => {
      script.call();
      const far = Math.max(...theta.map((x, k) => Math.abs(x - mine.theta[k])));
      if (!(far <= 1e-9)) throw new Error(`parameters are ${far} from those of plain JavaScript`);
    },
  });
}

export async function learn(bench) {
  const { quick, threads } = bench;
  const all = await problem(bench, quick ? 1e3 : 1e5);
  await compare(bench, all, { name: 'sgd, 1 thread', options: { rule: 'sgd', batch: 1 }, threads: 1 });
  const name = `sgd, batches of 32, ${threads} thread${threads > 1 ? 's' : ''}`;
  await compare(bench, all, { name, options: { rule: 'sgd', batch: 32 }, threads });
  const fewer = { ...all, data: some(all.data, quick ? 200 : 1e4) };
  await compare(bench, fewer, { name: 'token-sgd, 1 thread', options: { rule: 'token-sgd', batch: 1 }, threads: 1 });
}
