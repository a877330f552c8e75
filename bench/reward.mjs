// What a reward in JavaScript costs: bestOfN with the same reward natively and as a function, to which batches are given or
// lent. Lending detaches arrays, after which V8 checks every access to a typed array: nothing in JavaScript that lends
// nothing is timed after it in this process.
import { runGroup } from './group.mjs';
import { LENGTH, machine } from './model.mjs';

const SUITE = 'reward';

/** 1 for the reference, token by token; 0 for all else. */
const equalsIn = (reference) => (batch) => {
  const { prompts, tokens, offsets } = batch;
  const rewards = new Float64Array(prompts.length);
  for (let i = 0; i < rewards.length; i++) {
    const begin = offsets[i];
    const length = offsets[i + 1] - begin;
    let h = 0;
    while (h < length && tokens[begin + h] === reference[h]) h++;
    rewards[i] = h === length && length === reference.length ? 1 : 0;
  }
  return rewards;
};

export async function reward(bench) {
  const { covn, threads, signal, quick } = bench;
  const tabular = new covn.TabularModel({ ...machine(), start: [0] });
  const N = quick ? 2 ** 12 : 2 ** 20;
  const { tokens } = await tabular.sample([0], { samples: [12], maxLength: LENGTH, seed: 1 });
  for (const lend of [false, true]) {
    const successes = {};
    const entry = (by, reward) => ({
      by,
      work: 1e3 * N * LENGTH,
      call: async () => {
        const request = { N, reward, maxLength: LENGTH, keep: 'statistics', seed: 1 };
        const run = await covn.bestOfN(tabular, [0], request, { threads, signal, lend });
        successes[by] = run.successes.at(-1);
      },
    });
    const native = entry(`covn ${bench.device}`, { equals: { prompts: [0], tokens, offsets: [0, LENGTH] } });
    const script = entry('covn, the reward in JavaScript', equalsIn(tokens));
    await runGroup(bench, {
      suite: SUITE,
      case: `equal to a reference, batches of 4096${lend ? ', lent' : ''}`,
      unit: 'million tokens/s',
      ours: [native, script],
      check: () => {
        const [a, b] = Object.values(successes);
        if (!(a >= 1 && a === b)) throw new Error(`${a} and ${b} responses are equal to the reference`);
      },
    });
  }
}
