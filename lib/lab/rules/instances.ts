/** The instances of the paper's lower bounds (Lemmas I.6 and I.7), one that has both, and a harmless one. */

import type { Instance } from './instance.ts';

/** The three tokens -1, 0, 1 of Lemma I.6: B v_a, with v_0 = (1, 0) and v_{-1}, v_1 at an angle of cosine alpha to it. */
function fork(B: number, alpha: number): number[][] {
  const side = Math.sqrt(1 - alpha ** 2);
  return [
    [B * alpha, -B * side],
    [B, 0],
    [B * alpha, B * side],
  ];
}

/** eta H B of the largest step that Lemma I.7 allows, which is the least that Lemma I.6 asks for. */
const s = 8;
const alpha = s / (2 * (s - 1));

/** Instance 4.3: SGD with the step 8 / (H B) jumps from one wrong side to the other at every step. */
export function tooLarge(H: number, T: number) {
  const B = 4 * Math.log(T * H);
  const side = Math.sqrt(1 - alpha ** 2);
  const instance = { H, mu: [1], features: [fork(B, alpha)], star: [1, 0], start: [alpha, side], logN: (H * B) / 8 };
  return { instance: instance satisfies Instance, B, step: s / (H * B) };
}

/** Instance 4.4, with the B = 1e4 b, N = 16 of paper.md: n draws are too few for SGD with a step of at most 8 / (H B). */
export function tooSmall(H: number, n: number) {
  const N = 16;
  const b = 2 * Math.log(4 * H);
  const B = 1e4 * b;
  const mass = Math.min(1, (B * H) / (512 * Math.E * n * b ** 2 * Math.log(N)));
  const r = Math.log(H / (4 * Math.log(N))) / b;
  const instance = {
    H,
    mu: [1 - mass, mass],
    features: [
      [
        [0, 0],
        [0, b],
      ],
      [
        [0, 0],
        [b, 0],
      ],
    ],
    star: [0.5, 0.5],
    start: [r - 1 / b, 0.25],
    logN: Math.log(N),
  };
  return { instance: instance satisfies Instance, b, B, mass, step: s / (H * B) };
}

/** Both at once, with one theta: any step is too large for prompt A or too small for + and -. */
export function separation(H: number): Instance {
  const [B, b, N] = [400, 24, 16];
  const t = Math.log(10 * H) / b;
  const r = Math.log(H / (4 * Math.log(N))) / b;
  const side = Math.sqrt(1 - alpha ** 2);
  const low = r - 1 / b;
  return {
    H,
    mu: [0.4, 0.2, 0.4],
    features: [
      fork(B, alpha).map((phi) => [...phi, 0, 0]),
      [
        [0, 0, 0, 0],
        [0, 0, b, 0],
      ],
      [
        [0, 0, 0, 0],
        [0, 0, 0, b],
      ],
    ],
    star: [0.8, 0, t, t],
    start: [0.8 * alpha, 0.8 * side, low, (low + t) / 2],
    logN: Math.log(N),
  };
}

/** Only the first token is in doubt, so gradients do not grow with H. */
export function benign(H: number): Instance {
  const b = 8;
  return {
    H,
    informative: 1,
    mu: [0.5, 0.5],
    features: [
      [
        [0, 0],
        [b, 0],
      ],
      [
        [0, 0],
        [0, b],
      ],
    ],
    star: [0.5, 0.5],
    start: [-0.5, -0.5],
    logN: Math.log(16),
  };
}
