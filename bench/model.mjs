// bestOfN on a tabular model: tokens a second, and that memory does not grow with N.
import { figure, runGroup } from './group.mjs';
import * as plain from './peers/javascript.mjs';

const SUITE = 'model';
const STATES = 64;
const VOCAB = 64;
export const LENGTH = 64;

/** A machine of 64 states that goes on for as long as it is asked to. */
export function machine() {
  let state = 20251015;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  const logProbs = new Float64Array(STATES * VOCAB);
  const next = new Int32Array(STATES * VOCAB);
  for (let s = 0; s < STATES; s++) {
    const weights = Float64Array.from({ length: VOCAB }, () => {
      return Math.exp(1.5 * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
    });
    const total = weights.reduce((a, b) => a + b);
    for (let t = 0; t < VOCAB; t++) {
      logProbs[s * VOCAB + t] = Math.log(weights[t] / total);
      next[s * VOCAB + t] = Math.floor(STATES * uniform());
    }
  }
  return { vocab: VOCAB, logProbs, next };
}

export async function model(bench) {
  const { covn, threads, signal, quick } = bench;
  const table = machine();
  const tabular = new covn.TabularModel({ ...table, start: [0] });
  const N = quick ? 2 ** 12 : 2 ** 20;
  const tokens = N * LENGTH;
  const run = (n) => {
    const request = { N: n, reward: { logProb: tabular }, maxLength: LENGTH, keep: 'statistics', seed: 1 };
    return covn.bestOfN(tabular, [0], request, { threads, signal });
  };
  const ours = { by: `covn ${bench.device}`, work: 1e3 * tokens };
  let statistics;
  ours.call = async () => {
    ({ statistics } = await run(N));
  };
  const few = quick ? 2 ** 10 : 2 ** 14;
  const script = { by: 'plain JavaScript, alias tables', work: 1e3 * few * LENGTH, sync: true };
  let mean;
  const aliases = plain.aliasTables(table);
  script.call = () => {
    mean = plain.rollOut(table, aliases, few, LENGTH) / few;
  };
  await runGroup(bench, {
    ...{ suite: SUITE, case: `log-probs of rollouts, ${STATES} states, ${VOCAB} tokens`, unit: 'million tokens/s' },
    ...{ ours: [ours], peers: [script, ...bench.peers.entries(SUITE, { states: STATES, vocab: VOCAB }, bench.effort)] },
    check: () => {
      script.call();
      const slack = (7 * statistics.rewardDeviation[0]) / Math.sqrt(few);
      if (!(Math.abs(statistics.meanReward[0] - mean) <= slack)) {
        throw new Error(`responses have ${statistics.meanReward[0]} nats, in JavaScript ${mean}`);
      }
    },
  });
  const large = quick ? 1e5 : 1e8;
  await flat(bench, () => run(large), large);
}

/** One large run: seconds, and how far memory grew. */
async function flat(bench, run, N) {
  bench.step(`${SUITE}: N = ${N}`);
  let most = process.memoryUsage.rss();
  const before = most;
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, 50);
  const began = performance.now();
  await run();
  const seconds = (performance.now() - began) / 1e3;
  clearInterval(timer);
  const name = `N = ${N.toExponential()}, ${LENGTH} tokens each`;
  bench.add([figure(SUITE, name, `covn ${bench.device}`, 'time', seconds, 's')]);
  bench.add([figure(SUITE, `memory, ${name}`, `covn ${bench.device}`, 'extra memory', (most - before) / 1e6, 'MB')]);
}
