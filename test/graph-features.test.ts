/** The features of the graph task, against the graphs themselves, and what a linear model learns with them. */

import { describe, expect, test } from 'vitest';
import { type GraphFeatures, type GraphTask, graphTask, TabularModel } from '../lib/index.ts';

const sum = (list: Iterable<number>): number => [...list].reduce((total, x) => total + x, 0);

/** exp(<theta, phi>) of each entry, normalized in its state (Eq. 3): log-probs, nats. */
function linearLogProbs(features: GraphFeatures, theta: readonly number[]): Float64Array {
  const { machine, featureOffsets, featureIds, featureValues } = features;
  const logits = machine.logProbs.map((_, e) => {
    let logit = 0;
    for (let f = featureOffsets[e]!; f < featureOffsets[e + 1]!; f++)
      logit += theta[featureIds[f]!]! * featureValues[f]!;
    return logit;
  });
  for (let s = 0; s + 1 < machine.offsets.length; s++) {
    const row = logits.subarray(machine.offsets[s], machine.offsets[s + 1]);
    const most = Math.max(...row);
    const total = most + Math.log(sum(row.map((x) => Math.exp(x - most))));
    row.forEach((x, i) => {
      row[i] = x - total;
    });
  }
  return logits;
}

const linearModel = (features: GraphFeatures, theta: readonly number[]): TabularModel =>
  new TabularModel({ ...features.machine, logProbs: linearLogProbs(features, theta) });

/** The gradient of the expected log-likelihood under pi_D, prompts weighted. */
function gradient(features: GraphFeatures, theta: readonly number[], weights: readonly number[]): number[] {
  const { machine, dimension, featureOffsets, featureIds, featureValues } = features;
  const logProbs = linearLogProbs(features, theta);
  const visits = new Float64Array(machine.offsets.length - 1);
  for (const [prompt, weight] of weights.entries()) visits[machine.start[prompt]!] = weight;
  const slope = new Array<number>(dimension).fill(0);
  for (const [s, visit] of visits.entries()) {
    if (visit === 0) continue;
    for (let e = machine.offsets[s]!; e < machine.offsets[s + 1]!; e++) {
      const p = Math.exp(machine.logProbs[e]!);
      if (machine.next[e]! >= 0) visits[machine.next[e]!]! += visit * p;
      const pull = visit * (p - Math.exp(logProbs[e]!));
      for (let f = featureOffsets[e]!; f < featureOffsets[e + 1]!; f++)
        slope[featureIds[f]!]! += pull * featureValues[f]!;
    }
  }
  return slope;
}

const machines = [
  { name: 'figure 1', task: graphTask({ figure: 1, prompts: 12, seed: 1, layers: 6, width: 3, classes: [1, 1, 1] }) },
  { name: 'figure 1, four forks', task: graphTask({ figure: 1, prompts: 12, seed: 2, layers: 6, width: 3, forks: 4 }) },
  { name: 'figure 1, no forks', task: graphTask({ figure: 1, prompts: 3, seed: 2, layers: 3, width: 3, forks: 0 }) },
  { name: 'figure 2', task: graphTask({ figure: 2, prompts: 12, seed: 3, layers: 6, width: 3, classes: [1, 1, 1] }) },
].flatMap((each) => (['graph', 'layer', 'passable'] as const).map((candidates) => ({ ...each, candidates })));

/** The features of a node as the token of layer h, after a choice of class `before` (0: G1, 1: G2, -1: none). */
function expected(task: GraphTask, prompt: number, h: number, before: number, node: number): number[] {
  const { layers, passable } = task.graph(prompt);
  const fork = passable[h]?.length === 2 && passable[h].includes(node);
  const ofClass = (node + h) % 2;
  return [
    layers[h]!.includes(node) ? 2 : 0,
    [...passable.flat(), layers.at(-1)![0]!].includes(node) ? 3 : 0,
    fork && ofClass === 0 && before < 0 ? 5 : 0,
    ...(task.figure === 1 ? [fork && ofClass === before ? 7 : 0] : []),
  ];
}

describe('features', () => {
  test.each(machines)('of every entry that can be reached: $name, $candidates', ({ task, candidates }) => {
    const scales = { nextLayer: 2, passable: 3, parity: 5, ...(task.figure === 1 && { repeat: 7 }) };
    const features = task.features({ candidates, scales });
    const { machine, featureOffsets, featureIds, featureValues } = features;
    expect(features.names).toEqual(['nextLayer', 'passable', 'parity', 'repeat'].slice(0, features.dimension));
    expect(featureOffsets.length).toBe(machine.tokens.length + 1);
    const reached = new Set<number>();
    for (let prompt = 0; prompt < task.prompts; prompt++) {
      const { layers, passable } = task.graph(prompt);
      const visit = (state: number, h: number, before: number, seen: Set<string>): void => {
        const key = `${state} ${h} ${before}`;
        if (seen.has(key)) return;
        seen.add(key);
        reached.add(state);
        const tokens = [...machine.tokens.subarray(machine.offsets[state], machine.offsets[state + 1])];
        const among = { graph: layers.flat(), layer: layers[h]!, passable: passable[h] ?? layers[h]! }[candidates];
        expect(tokens).toEqual([...among].sort((a, b) => a - b));
        for (const [i, node] of tokens.entries()) {
          const e = machine.offsets[state]! + i;
          const phi = new Array<number>(features.dimension).fill(0);
          for (let f = featureOffsets[e]!; f < featureOffsets[e + 1]!; f++) phi[featureIds[f]!] = featureValues[f]!;
          expect(phi).toEqual(expected(task, prompt, h, before, node));
          const last = h === task.length - 1;
          expect(machine.next[e]! < 0).toBe(last);
          const choice = passable[h]?.length === 2 && passable[h].includes(node);
          const remembered = task.figure === 1 && choice ? (node + h) % 2 : before;
          if (!last) visit(machine.next[e]!, h + 1, remembered, seen);
        }
      };
      visit(machine.start[prompt]!, 0, -1, new Set());
    }
    // No state is superfluous.
    expect(reached.size).toBe(machine.offsets.length - 1);
  });

  test.each(machines)('come with pi_D on the same entries: $name, $candidates', async ({ task, candidates }) => {
    const { machine } = task.features({ candidates });
    const model = new TabularModel(machine);
    const { references } = task;
    expect(await model.logProb(references)).toEqual(await task.data.logProb(references));
    const prompts = Array.from({ length: task.prompts }, (_, prompt) => prompt);
    const drawn = await model.sample(prompts, { N: 20 });
    expect(Math.min(...(await task.data.logProb(drawn)))).toBeGreaterThan(Number.NEGATIVE_INFINITY);
  });

  test('options out of range are refused', () => {
    const [one, two] = [1, 2].map((figure) => graphTask({ figure: figure as 1 | 2, prompts: 1 }));
    const code = 'ERR_COVN_DTYPE';
    expect(() => one!.features({ candidates: 'all' as never })).toThrow(expect.objectContaining({ code }));
    expect(() => one!.features({ scale: 1 } as never)).toThrow(expect.objectContaining({ code }));
    expect(() => two!.features({ scales: { repeat: 1 } })).toThrow(expect.objectContaining({ code }));
    expect(() => two!.features({ scales: { parity: -1 } })).toThrow(/scales.parity/);
    const many = graphTask({ figure: 2, layers: 256, prompts: 600 });
    expect(() => many.features()).toThrow(/2\^27 entries/);
  });
});

/** Means over prompts of each class: KL, and what N draws are worth. */
async function measure(task: GraphTask, model: TabularModel) {
  const logProbs = await model.logProb(task.references);
  const mean = (of: (logProb: number) => number): number => {
    const ofClass = [1, 2].map((c) =>
      logProbs.filter((_, i) => task.classOf[task.references.prompts[i]!] === c).map(of),
    );
    return sum(ofClass.map((list, i) => (task.weights[i]! * sum(list)) / list.length));
  };
  return {
    kl: mean((x) => -x),
    coverage: mean((x) => (-x >= Math.log(4) - 1e-12 ? 1 : 0)),
    pass: mean((x) => 1 - (1 - Math.exp(x)) ** 8),
  };
}

describe('a linear model of figure 1', () => {
  const task = graphTask({ figure: 1, prompts: 80, seed: 4 });
  const features = task.features({ candidates: 'passable' });

  test('starts uniform over the valid paths', async () => {
    const start = linearModel(features, [0, 0, 0, 0]);
    const drawn = await task.uniform.sample([0, 1, 2], { N: 50 });
    expect(await start.logProb(drawn)).toEqual(await task.uniform.logProb(drawn));
    expect((await measure(task, start)).coverage).toBeCloseTo(1, 14);
  });

  test('has the numbers of the two-mode mixture', async () => {
    for (const [q, pass, coverage] of [
      [0.9, 0.957, 0.1],
      [0.5, 0.9961, 0],
    ] as const) {
      // The parity's scale is 0.2; later choices repeat the first.
      const seen = await measure(task, linearModel(features, [0, 0, Math.log(q / (1 - q)) / 0.2, 50]));
      expect(seen.pass).toBeCloseTo(pass, 4);
      expect(seen.pass).toBeCloseTo(0.9 * (1 - (1 - q) ** 8) + 0.1 * (1 - q ** 8), 12);
      expect(seen.kl).toBeCloseTo(-0.9 * Math.log(q) - 0.1 * Math.log(1 - q), 12);
      expect(seen.coverage).toBeCloseTo(coverage, 12);
    }
  });

  test('learns to repeat first: KL falls all along, coverage falls and rises again', async () => {
    const counts = [1, 2].map((c) => task.classOf.filter((drawn) => drawn === c).length);
    const weights = [...task.classOf].map((c) => task.weights[c - 1]! / counts[c - 1]!);
    let theta = [0, 0, 0, 0];
    const seen = [];
    for (let step = 0; step <= 600; step++) {
      if (step % 10 === 0) seen.push(await measure(task, linearModel(features, theta)));
      const slope = gradient(features, theta, weights);
      theta = theta.map((x, i) => x + 2 * slope[i]!);
    }
    for (let i = 1; i < seen.length; i++) expect(seen[i]!.kl).toBeLessThan(seen[i - 1]!.kl);
    const least = Math.min(...seen.map(({ coverage }) => coverage));
    expect(seen[0]!.coverage).toBeCloseTo(1, 12);
    expect(least).toBe(0);
    expect(seen.at(-1)!.coverage).toBeCloseTo(0.1, 12);
    expect(Math.max(...seen.map(({ pass }) => pass))).toBeGreaterThan(0.99);
    expect(seen.at(-1)!.pass).toBeLessThan(0.96);
  });
});

describe('a linear model of figure 2', () => {
  test('learns the next layer and what is passable, and no class', async () => {
    const task = graphTask({ figure: 2, prompts: 80, seed: 5, layers: 4, classes: [1, 2, 1], forks: [2, 2] });
    const features = task.features();
    // Class 2 has as much weight where its forks are flipped as where not.
    const kinds = [...task.classOf].map((c, prompt) => (c === 2 ? 2 + 2 * task.parity(task.graph(prompt)) : c));
    const shares = new Map([
      [1, 0.6],
      [2, 0.15],
      [4, 0.15],
      [3, 0.1],
    ]);
    const weights = kinds.map((kind) => shares.get(kind)! / kinds.filter((other) => other === kind).length);
    let theta = [0, 0, 0];
    for (let step = 0; step < 200; step++) {
      const slope = gradient(features, theta, weights);
      theta = theta.map((x, i) => x + 3 * slope[i]!);
    }
    const prompts = Array.from({ length: task.prompts }, (_, prompt) => prompt);
    const model = linearModel(features, theta);
    const drawn = await task.data.sample(prompts, { N: 1 });
    const [data, learned] = [await task.data.logProb(drawn), await model.logProb(drawn)];
    const kl = (c: number) => {
      const ratios = prompts.flatMap((i) => (task.classOf[i] === c ? [data[i]! - learned[i]!] : []));
      return sum(ratios) / ratios.length;
    };
    expect(kl(1)).toBeLessThan(0.05);
    expect(kl(3)).toBeLessThan(0.05);
    expect(Math.abs(kl(2) - 2 * Math.log(2))).toBeLessThan(0.05);
    expect(Math.abs(theta[2]!)).toBeLessThan(0.05);
  });
});
