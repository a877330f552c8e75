/** Random pairs of pi_D and a model whose responses can all be listed. */

import { normalQuantile, PhiloxStream } from '../../estimate/index.ts';
import { binomial } from '../binomial.ts';

/** One response, or all those alike. */
export interface Atom {
  /** Its probability under pi_D. */
  readonly weight: number;
  /** log pi_D(y|x) - log pi(y|x), nats. */
  readonly logRatio: number;
  /** Sum over its tokens of KL(pi_D ‖ pi) at the prefix, nats. */
  readonly stepKl: number;
  /** The same of squared Hellinger distances. */
  readonly stepHellinger: number;
}

export interface Instance {
  readonly family: string;
  readonly atoms: readonly Atom[];
}

type Steps = (prefix: readonly number[]) => { readonly data: readonly number[]; readonly model: readonly number[] };

const normalise = (weights: readonly number[]): number[] => {
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
};

const kl = (p: readonly number[], q: readonly number[]) => p.reduce((sum, x, a) => sum + x * Math.log(x / q[a]!), 0);
const hellinger = (p: readonly number[], q: readonly number[]) =>
  p.reduce((sum, x, a) => sum + 0.5 * (Math.sqrt(x) - Math.sqrt(q[a]!)) ** 2, 0);

/** Every response of H tokens. */
function listed(H: number, steps: Steps): Atom[] {
  const atoms: Atom[] = [];
  const visit = (prefix: readonly number[], atom: Atom): void => {
    if (prefix.length === H) return void atoms.push(atom);
    const { data, model } = steps(prefix);
    const stepKl = atom.stepKl + kl(data, model);
    const stepHellinger = atom.stepHellinger + hellinger(data, model);
    for (const [a, p] of data.entries()) {
      const logRatio = atom.logRatio + Math.log(p / model[a]!);
      visit([...prefix, a], { weight: atom.weight * p, logRatio, stepKl, stepHellinger });
    }
  };
  visit([], { weight: 1, logRatio: 0, stepKl: 0, stepHellinger: 0 });
  return atoms;
}

/** A step's distribution over three tokens. */
const drawStep = (random: PhiloxStream): number[] =>
  normalise(Array.from({ length: 3 }, () => -Math.log(random.uniform())));

const perturbed = (data: readonly number[], spread: number, random: PhiloxStream): number[] =>
  normalise(data.map((p) => p * Math.exp(spread * normalQuantile(random.uniform()))));

/** Six tokens, every step a little off. */
function everywhere(random: PhiloxStream): Atom[] {
  const spread = 0.1 + 0.9 * random.uniform();
  return listed(6, () => {
    const data = drawStep(random);
    return { data, model: perturbed(data, spread, random) };
  });
}

/** Six tokens; the first one says, rarely, that all the rest will be badly off. */
function rarely(random: PhiloxStream): Atom[] {
  const rare = 0.02 + 0.2 * random.uniform();
  const first = [rare, (1 - rare) / 2, (1 - rare) / 2];
  return listed(6, (prefix) => {
    if (prefix.length === 0) return { data: first, model: first };
    const data = drawStep(random);
    return { data, model: perturbed(data, prefix[0] === 0 ? 2 : 0.05, random) };
  });
}

/** 200 tokens alike, P[1] = p against q: the counts of ones are all that matters. */
function long(random: PhiloxStream): Atom[] {
  const H = 200;
  const p = 0.05 + 0.4 * random.uniform();
  const q = p * Math.exp(1.5 * (random.uniform() - 0.5));
  const [data, model] = [
    [1 - p, p],
    [1 - q, q],
  ];
  const [stepKl, stepHellinger] = [H * kl(data!, model!), H * hellinger(data!, model!)];
  return Array.from({ length: H + 1 }, (_, k) => ({
    weight: binomial(H, p, k),
    logRatio: k * Math.log(p / q) + (H - k) * Math.log((1 - p) / (1 - q)),
    stepKl,
    stepHellinger,
  }));
}

/** The kinds of instances, each with what is wrong with the model. */
export const families = [
  { name: 'a little off at every token', draw: everywhere },
  { name: 'badly off on rare responses', draw: rarely },
  { name: '200 tokens alike', draw: long },
] as const;

/** Instance i of a family. */
export const drawInstance = (family: number, i: number, seed: number): Instance => ({
  family: families[family]!.name,
  atoms: families[family]!.draw(new PhiloxStream(seed, i, family)),
});

/** Prop D.2: Ber(p) against Ber(p / N), where KL says nearly all there is to say. */
export function nearlyTight(p: number, N: number): Instance {
  const [data, model] = [
    [1 - p, p],
    [1 - p / N, p / N],
  ];
  return { family: "Prop D.2's coin", atoms: listed(1, () => ({ data: data!, model: model! })) };
}
