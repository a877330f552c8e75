/** The graph reasoning task, against enumeration of all paths and the closed forms of its mixtures. */

import { describe, expect, test } from 'vitest';
import { bestOfN, coverageProfile, type Graph, type GraphTask, graphTask } from '../lib/index.ts';
import { binomialAtLeast } from './oracles/binomial.ts';
import { responsesOf, tokensOf } from './support/machines.ts';

const sum = (list: Iterable<number>): number => [...list].reduce((total, x) => total + x, 0);
const prompts = (task: GraphTask): number[] => Array.from({ length: task.prompts }, (_, prompt) => prompt);

/** Every way through the layers, dead ends included. */
const ways = ({ layers }: Graph): number[][] =>
  layers.reduce<number[][]>((begun, layer) => begun.flatMap((way) => layer.map((v) => [...way, v])), [[]]);

const valid = ({ passable }: Graph, way: number[]): boolean => passable.every((nodes, h) => nodes.includes(way[h]!));

/** pi_D as App. C says it. */
function dataProbability(task: GraphTask, prompt: number, way: number[]): number {
  const graph = task.graph(prompt);
  if (!valid(graph, way)) return 0;
  const drawn = task.classOf[prompt]!;
  const forks = graph.passable.flatMap((nodes, i) => (nodes.length > 1 ? [i] : []));
  if (drawn === 3) return 2 ** -forks.length;
  const flip = task.figure === 1 ? drawn - 1 : sum(graph.passable.flat()) % 2;
  return forks.every((i) => way[i]! % 2 === (i + flip) % 2) ? 1 : 0;
}

const small = { prompts: 30, layers: 4, width: 3 } as const;
const tasks = [
  graphTask({ figure: 1, ...small, seed: 1, classes: [1, 1, 1] }),
  graphTask({ figure: 1, ...small, seed: 2, classes: [1, 1, 1], forks: 3 }),
  graphTask({ figure: 2, ...small, seed: 3, classes: [1, 1, 1] }),
  graphTask({ figure: 2, ...small, seed: 4, classes: [1, 2, 3], forks: [3, 1], ids: 15 }),
];

describe('graphs', () => {
  test('have the layers, passable nodes and forks of their class, and each node once', () => {
    const defaults = [
      { task: graphTask({ figure: 1, prompts: 300, classes: [1, 1, 1] }), layers: 8, forks: [2, 2, 2] },
      ...[8, 16, 24].map((layers) => ({
        task: graphTask({ figure: 2, layers, prompts: 300, classes: [1, 1, 1] }),
        layers,
        forks: [0, layers / 2, 4],
      })),
    ];
    for (const { task, layers, forks } of defaults) {
      expect(task).toMatchObject({ layers, width: 4, length: layers + 2, ids: 128, vocab: 131, forks });
      for (const prompt of prompts(task)) {
        const graph = task.graph(prompt);
        const nodes = graph.layers.flat();
        expect(new Set(nodes).size).toBe(4 * layers + 2);
        expect(nodes.every((v) => v >= 0 && v < 128)).toBe(true);
        expect(graph.layers.map((layer) => layer.length)).toEqual([1, ...Array(layers).fill(4), 1]);
        expect(graph.passable.every((open, h) => open.every((v) => graph.layers[h]!.includes(v)))).toBe(true);
        const open = graph.passable.map((list) => list.map((v) => v % 2).sort());
        expect(open.filter((list) => String(list) === '0,1').length).toBe(forks[task.classOf[prompt]! - 1]);
        expect(open.every((list) => list.length === 1 || String(list) === '0,1')).toBe(true);
      }
    }
  });

  test('each layer is a fork, and each id used, equally often', () => {
    const task = graphTask({ figure: 1, prompts: 4000, seed: 9, layers: 4, width: 2, classes: [0, 0, 1], ids: 16 });
    const forks = new Map<number, number>();
    const ids = new Map<number, number>();
    for (const prompt of prompts(task)) {
      const { layers, passable } = task.graph(prompt);
      for (const [h, list] of passable.entries()) if (list.length > 1) forks.set(h, (forks.get(h) ?? 0) + 1);
      for (const id of layers.flat()) ids.set(id, (ids.get(id) ?? 0) + 1);
    }
    // 2 of 4 layers; 10 of 16 ids: beyond 5.5 standard deviations of a binomial, 4e-8 each.
    expect([...forks.keys()].sort()).toEqual([1, 2, 3, 4]);
    for (const count of forks.values()) expect(Math.abs(count - 2000)).toBeLessThan(5.5 * Math.sqrt(1000));
    expect(ids.size).toBe(16);
    for (const count of ids.values())
      expect(Math.abs(count - 2500)).toBeLessThan(5.5 * Math.sqrt(4000 * 0.625 * 0.375));
  });

  test('the class of figure 1 is the parity of the sum of the nodes below ids / 2', () => {
    for (const ids of [35, 128]) {
      const task = graphTask({ figure: 1, prompts: 500, seed: 3, classes: [1, 1, 0], ids });
      for (const prompt of prompts(task)) {
        const half = task
          .graph(prompt)
          .layers.flat()
          .filter((v) => v < Math.floor(ids / 2));
        expect(sum(half) % 2).toBe(task.classOf[prompt] === 1 ? 1 : 0);
        expect(task.parity(task.graph(prompt))).toBe(sum(half) % 2);
      }
    }
    const free = graphTask({ figure: 1, prompts: 500, seed: 3, classes: [0, 0, 1] });
    const odd = sum(prompts(free).map((prompt) => free.parity(free.graph(prompt))));
    expect(Math.abs(odd - 250)).toBeLessThan(5.5 * Math.sqrt(125));
  });

  test('classes are as frequent as they should be', () => {
    const n = 20_000;
    for (const [task, weights] of [
      [graphTask({ figure: 1, prompts: n, seed: 5 }), [0.9, 0.1, 0]],
      [graphTask({ figure: 2, prompts: n, seed: 5 }), [0.94, 0.05, 0.01]],
      [graphTask({ figure: 2, prompts: n, seed: 6, classes: [3, 0, 1] }), [0.75, 0, 0.25]],
    ] as const) {
      expect(task.weights).toEqual(weights);
      for (const [i, p] of weights.entries()) {
        const count = task.classOf.filter((drawn) => drawn === i + 1).length;
        // The exact binomial interval: false-alarm rate 1e-6 for each class.
        expect(binomialAtLeast(count, n, p)).toBeGreaterThan(5e-7);
        expect(1 - binomialAtLeast(count + 1, n, p)).toBeGreaterThan(5e-7);
      }
    }
  });

  test('a graph depends on the seed, its number and the shape alone', () => {
    const all = graphTask({ figure: 1, prompts: 50, seed: 7 });
    const few = graphTask({ figure: 1, prompts: 20, seed: 7 });
    const other = graphTask({ figure: 1, prompts: 20, seed: 8 });
    for (const prompt of prompts(few)) {
      expect(few.graph(prompt)).toEqual(all.graph(prompt));
      expect(few.encode(prompt)).toEqual(all.encode(prompt));
      expect(other.graph(prompt)).not.toEqual(all.graph(prompt));
    }
    expect(few.classOf).toEqual(all.classOf.slice(0, 20));
  });

  test('options out of range are refused', () => {
    for (const [change, code] of [
      [{ figure: 3 }, 'ERR_COVN_DTYPE'],
      [{ prompts: 0 }, 'ERR_COVN_RANGE'],
      [{ layers: 0 }, 'ERR_COVN_RANGE'],
      [{ width: 1 }, 'ERR_COVN_RANGE'],
      [{ ids: 34 }, 'ERR_COVN_RANGE'],
      [{ forks: 9 }, 'ERR_COVN_RANGE'],
      [{ forks: [1, 2] }, 'ERR_COVN_DTYPE'],
      [{ figure: 2, forks: 1 }, 'ERR_COVN_DTYPE'],
      [{ figure: 2, forks: [4] }, 'ERR_COVN_SHAPE'],
      [{ figure: 2, forks: [4, 9] }, 'ERR_COVN_RANGE'],
      [{ classes: [0, 0, 0] }, 'ERR_COVN_RANGE'],
      [{ classes: [1, -1, 0] }, 'ERR_COVN_RANGE'],
      [{ classes: [1, 1] }, 'ERR_COVN_SHAPE'],
      [{ nodes: 4 }, 'ERR_COVN_DTYPE'],
    ] as const) {
      const make = () => graphTask({ figure: 1, prompts: 1, ...change } as never);
      expect(make, JSON.stringify(change)).toThrow(expect.objectContaining({ code }));
    }
  });
});

describe('prompts', () => {
  test('come back from their tokens', () => {
    for (const task of [
      graphTask({ figure: 1, prompts: 500, seed: 11 }),
      graphTask({ figure: 2, prompts: 500, seed: 11, layers: 16, classes: [1, 1, 1] }),
      graphTask({ figure: 2, prompts: 50, seed: 11, layers: 1, width: 60, forks: [1, 0], classes: [1, 1, 1] }),
    ]) {
      const { bar, slash, equals } = task.special;
      let sorted = 0;
      for (const prompt of prompts(task)) {
        const tokens = task.encode(prompt);
        const graph = task.graph(prompt);
        expect(task.decode(tokens)).toEqual(graph);
        const edges = graph.passable.flatMap((from, h) => from.flatMap((u) => graph.layers[h + 1]!.map((v) => [u, v])));
        const words = [...tokens.subarray(0, -3)].flatMap((_, i, all) => (i % 3 === 0 ? [all.slice(i, i + 2)] : []));
        expect(words.map(String).sort()).toEqual(edges.map(String).sort());
        expect([...tokens].filter((token) => token === bar).length).toBe(edges.length - 1);
        const end = [slash, graph.layers[0]![0]!, graph.layers.at(-1)![0]!, equals];
        expect([...tokens.subarray(-4)]).toEqual(end);
        if (String(words) === String(edges)) sorted++;
      }
      expect(sorted).toBe(0);
    }
  });

  test('what is no prompt is refused', () => {
    const task = graphTask({ figure: 1, prompts: 3, layers: 2, width: 2, forks: 1, ids: 20 });
    const { bar, slash, equals } = task.special;
    const tokens = [...task.encode(0)];
    const { layers, passable } = task.graph(0);
    const put = (i: number, token: number) => tokens.with(i < 0 ? tokens.length + i : i, token);
    const unused = Array.from({ length: 20 }, (_, id) => id).find((id) => !layers.flat().includes(id))!;
    const dead = layers.flat().find((id) => ![...passable.flat(), layers.at(-1)![0]!].includes(id))!;
    for (const [list, code] of [
      [[], 'ERR_COVN_SHAPE'],
      [tokens.slice(1), 'ERR_COVN_SHAPE'],
      [tokens.slice(3), 'ERR_COVN_RANGE'],
      [[...tokens.slice(0, 3), ...tokens], 'ERR_COVN_RANGE'],
      [[dead, unused, bar, ...tokens], 'ERR_COVN_RANGE'],
      [[unused, dead, bar, ...tokens], 'ERR_COVN_RANGE'],
      [[layers.at(-1)![0]!, unused, bar, ...tokens], 'ERR_COVN_RANGE'],
      [put(0, bar), 'ERR_COVN_RANGE'],
      [put(0, -1), 'ERR_COVN_RANGE'],
      [put(0, 1.5), 'ERR_COVN_RANGE'],
      [put(1, unused), 'ERR_COVN_RANGE'],
      [put(2, slash), 'ERR_COVN_RANGE'],
      [put(-4, bar), 'ERR_COVN_RANGE'],
      [put(-3, unused), 'ERR_COVN_RANGE'],
      [put(-2, unused), 'ERR_COVN_RANGE'],
      [put(-1, slash), 'ERR_COVN_RANGE'],
      [tokens.map(() => equals), 'ERR_COVN_RANGE'],
      ['1 2', 'ERR_COVN_DTYPE'],
    ] as const) {
      expect(() => task.decode(list as never), String(list)).toThrow(expect.objectContaining({ code }));
    }
    // With another token it is no prompt, or another one: a dead end can have another name.
    let others = 0;
    for (const i of tokens.keys()) {
      for (let token = 0; token < task.vocab; token++) {
        if (token === tokens[i]) continue;
        try {
          expect(task.decode(put(i, token))).not.toEqual({ layers, passable });
          others++;
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_COVN_RANGE' });
        }
      }
    }
    expect(others).toBeLessThan(tokens.length);
    expect(() => graphTask({ figure: 1, prompts: 3, layers: 3, width: 2, ids: 20 }).decode(tokens)).toThrow(/Expected/);
    expect(() => task.encode(3)).toThrow(expect.objectContaining({ code: 'ERR_COVN_RANGE' }));
  });
});

describe('pi_D and the uniform model', () => {
  test('have the probability of every path', async () => {
    for (const task of tasks) {
      for (const prompt of prompts(task)) {
        const all = ways(task.graph(prompt));
        const responses = responsesOf(
          all.map(() => prompt),
          all,
        );
        const data = (await task.data.logProb(responses)).map(Math.exp);
        const uniform = (await task.uniform.logProb(responses)).map(Math.exp);
        const count = all.filter((way) => valid(task.graph(prompt), way)).length;
        for (const [i, way] of all.entries()) {
          expect(data[i]).toBeCloseTo(dataProbability(task, prompt, way), 14);
          expect(uniform[i]).toBeCloseTo(valid(task.graph(prompt), way) ? 1 / count : 0, 14);
        }
        expect(sum(data)).toBeCloseTo(1, 14);
        expect(sum(uniform)).toBeCloseTo(1, 14);
      }
    }
  });

  test('say nothing else', async () => {
    const task = tasks[1]!;
    const drawn = await task.uniform.sample(prompts(task), { N: 20, seed: 1 });
    expect(drawn.ended.every((ended) => ended === 1)).toBe(true);
    for (const [i, path] of tokensOf(drawn).entries()) {
      expect(task.isValid(drawn.prompts[i]!, path)).toBe(true);
      const longer = responsesOf([drawn.prompts[i]!], [[...path, path.at(-1)!]]);
      expect(await task.uniform.logProb(longer)).toEqual(Float64Array.of(Number.NEGATIVE_INFINITY));
    }
  });

  test('references are what pi_D can give', () => {
    for (const task of tasks) {
      const listed = prompts(task).map(() => [] as string[]);
      const { references } = task;
      for (const [i, path] of tokensOf(references).entries()) listed[references.prompts[i]!]!.push(String(path));
      for (const prompt of prompts(task)) {
        const right = ways(task.graph(prompt)).filter((way) => dataProbability(task, prompt, way) > 0);
        expect(listed[prompt]!.sort()).toEqual(right.map(String).sort());
      }
    }
  });
});

describe('validity', () => {
  test('automaton and predicate accept the valid paths, of all sequences of tokens', () => {
    const task = graphTask({ figure: 1, prompts: 6, seed: 2, layers: 2, width: 2, ids: 7, forks: 1 });
    const { next, start, accepting } = task.validity;
    const sequences = (length: number): number[][] =>
      length === 0
        ? [[]]
        : sequences(length - 1).flatMap((list) => Array.from({ length: task.vocab }, (_, token) => [...list, token]));
    const all = [2, 3, 4].flatMap(sequences);
    for (const prompt of prompts(task)) {
      const graph = task.graph(prompt);
      const paths = new Set(
        ways(graph)
          .filter((way) => valid(graph, way))
          .map(String),
      );
      expect(paths.size).toBe(2);
      // And one token more than a path has.
      const longer = [...paths].map((path) => [...path.split(',').map(Number), graph.layers.at(-1)![0]!]);
      for (const list of [...all, ...longer]) {
        const end = list.reduce(
          (s, token) => (s < 0 ? s : next[s * task.vocab + token]!),
          (start as Int32Array)[prompt]!,
        );
        const accepted = end >= 0 && Array.from(accepting!).includes(end);
        const expected = paths.has(String(list));
        // Not `expect` for each of so many.
        if (accepted !== expected || task.isValid(prompt, list) !== expected) throw new Error(`${prompt}: ${list}`);
      }
    }
    const many = graphTask({ figure: 1, prompts: 250_000, layers: 1, width: 2, forks: 0, ids: 1000 });
    expect(() => many.validity).toThrow(expect.objectContaining({ code: 'ERR_COVN_RANGE' }));
    expect(() => task.isValid(6, [])).toThrow(expect.objectContaining({ code: 'ERR_COVN_RANGE' }));
  });

  test('is a reward of bestOfN, as are the references', async () => {
    const task = graphTask({ figure: 2, prompts: 40, seed: 2, layers: 8, classes: [0, 1, 0] });
    const request = { N: 2000, seed: 3, keep: 'statistics' } as const;
    const run = await bestOfN(task.uniform, prompts(task), { ...request, reward: { automaton: task.validity } });
    expect([...run.statistics.meanReward]).toEqual(prompts(task).map(() => 1));
    const right = await bestOfN(task.uniform, prompts(task), { ...request, reward: { equals: task.references } });
    // One path of 2^4 in 80,000 draws, beyond 5 standard deviations: 6e-7.
    const share = sum(right.statistics.meanReward) / 40;
    expect(Math.abs(share - 1 / 16)).toBeLessThan((5 * Math.sqrt((1 / 16) * (15 / 16))) / Math.sqrt(80_000));
  });
});

describe('the numbers of the paper', () => {
  test('figure 1: the uniform model has ratio 4 everywhere', async () => {
    const task = graphTask({ figure: 1, prompts: 1000, seed: 1 });
    const drawn = await task.data.sample(prompts(task), { N: 1, seed: 1 });
    const uniform = await task.uniform.logProb(drawn);
    const profile = coverageProfile((await task.data.logProb(drawn)).map((x, i) => x - uniform[i]!));
    expect(profile.at(4).value).toBe(1);
    expect(profile.at(4.0001).value).toBe(0);
    expect(profile.kl.value).toBeCloseTo(Math.log(4), 14);
  });

  test('figure 2: KL of a model that knows no parity grows 0.05 / 2 log 2 a layer', async () => {
    for (const layers of [8, 16, 24]) {
      const task = graphTask({ figure: 2, layers, prompts: 600, seed: 1, classes: [1, 1, 1] });
      const drawn = await task.data.sample(prompts(task), { N: 1, seed: 1 });
      const [data, uniform] = [await task.data.logProb(drawn), await task.uniform.logProb(drawn)];
      const ofClass = [1, 2, 3].map((c) => {
        const ratios = prompts(task).flatMap((i) => (task.classOf[i] === c ? [data[i]! - uniform[i]!] : []));
        return sum(ratios) / ratios.length;
      });
      const kl = 0.94 * ofClass[0]! + 0.05 * ofClass[1]! + 0.01 * ofClass[2]!;
      expect(kl).toBeCloseTo(0.05 * (layers / 2) * Math.log(2), 13);
    }
  });
});
