// The benchmark: suites, one a domain word, which time covn through its public functions, beside its peers and the limits
// of the machine. `covn bench` and `npm run bench` are its command line.
import { availableParallelism, cpus, totalmem, type } from 'node:os';
import { bestOfN } from './best-of-n.mjs';
import { hidden } from './hidden.mjs';
import { learn } from './learn.mjs';
import { logprob } from './logprob.mjs';
import { machine } from './machine.mjs';
import { model } from './model.mjs';
import { pair } from './pair.mjs';
import { findPeers, noPeers } from './peers/index.mjs';
import { groupTable, heading } from './report.mjs';
import { reward } from './reward.mjs';
import { sample } from './sample.mjs';
import { tournament } from './tournament.mjs';

// They run in this order. `reward` is the last: what it does slows JavaScript down.
const suites = { machine, logprob, hidden, pair, sample, model, learn, tournament, 'best-of-n': bestOfN, reward };
export const suiteNames = Object.keys(suites);

// How long each thing is timed: seconds and at least so many samples of Benchmark.js; of covn's in each of so many rounds.
const thorough = { rounds: 9, roundEffort: { seconds: 0.1, samples: 1 }, effort: { seconds: 0.3, samples: 1 } };
const hasty = { rounds: 1, roundEffort: { seconds: 0.05, samples: 2 }, effort: { seconds: 0.05, samples: 2 } };

function describeMachine({ covn, version, threads, peers }, limits) {
  return {
    date: new Date().toISOString().slice(0, 10),
    covn: version,
    node: process.versions.node,
    platform: `${type()} ${process.arch}`,
    processor: cpus()[0]?.model.trim() ?? 'unknown processor',
    processors: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    device: limits.device,
    devices: covn
      .devices()
      .filter(({ available }) => available)
      .map(({ name }) => name),
    threads,
    peers: peers.versions,
  };
}

/**
 * Runs suites.
 *
 * @param options covn: the library's exports; version; command: as typed, for the report; names: of suites;
 *   threads; dtypes, vocabs, rows, mib: sizes, each with the suite's own default; peers: whether to time other packages;
 *   quick; signal; step(label): what is being timed; print(text): a piece of the report, Markdown
 * @returns { machine, command, results }
 */
export async function runBench(options) {
  const { covn, command, names, quick, signal, step, print } = options;
  const limits = await covn.machineLimits({
    bytes: 2 ** 20,
    repeats: 1,
    ...(options.threads && { threads: options.threads }),
  });
  const peers = options.peers ? await findPeers(limits.threads) : noPeers;
  const results = [];
  const bench = {
    ...(quick ? hasty : thorough),
    ...{ covn, quick, signal, peers },
    threads: limits.threads,
    device: limits.device,
    sizes: { dtypes: options.dtypes, vocabs: options.vocabs, rows: options.rows, mib: options.mib },
    step: (label) => {
      signal?.throwIfAborted();
      step(label);
    },
    add: (records) => {
      results.push(...records);
      print(`\n${groupTable(records)}\n`);
    },
  };
  const about = { machine: describeMachine({ ...options, threads: limits.threads, peers }, limits), command };
  try {
    print(`${heading(about)}\n`);
    for (const name of suiteNames) if (names.includes(name)) await suites[name](bench);
  } finally {
    await peers.close();
  }
  return { ...about, results };
}
