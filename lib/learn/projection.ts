import { rangeError, typeError } from '../errors.ts';
import { checkKnownKeys, checkNumber, checkNumberList, checkObject, type NumberList } from '../validate.ts';

/**
 * The set of parameters that iterates are projected to (Euclidean): a ball around 0, a box of bounds for all coordinates
 * or for each, or none.
 */
export type Projection =
  | { readonly ball: number }
  | { readonly box: readonly [number | NumberList, number | NumberList] }
  | 'none';

const bounds = (value: unknown, name: string, dimension: number): Float64Array => {
  if (typeof value === 'number') return new Float64Array(dimension).fill(checkNumber(value, name));
  const list = checkNumberList(value, name, dimension);
  return Float64Array.from({ length: dimension }, (_, k) => checkNumber(list[k], `${name}[${k}]`));
};

/** A projection as the addon reads it. Default: the unit ball. */
export function checkProjection(projection: Projection | undefined, dimension: number) {
  if (projection === 'none') return { projection: 'none' };
  if (projection === undefined) return { projection: 'ball', radius: 1 };
  checkObject(projection, 'projection');
  checkKnownKeys(projection, ['ball', 'box'], 'projection');
  const { ball, box } = projection as { ball?: number; box?: unknown };
  if ((ball === undefined) === (box === undefined)) {
    throw typeError("{ ball }, { box: [lower, upper] } or 'none'", 'projection', projection);
  }
  if (ball !== undefined) {
    const radius = checkNumber(ball, 'projection.ball', 0);
    if (radius === 0) throw rangeError('a number > 0', 'projection.ball', ball);
    return { projection: 'ball', radius };
  }
  if (!Array.isArray(box) || box.length !== 2) throw typeError('[lower, upper]', 'projection.box', box);
  const [lower, upper] = [
    bounds(box[0], 'projection.box[0]', dimension),
    bounds(box[1], 'projection.box[1]', dimension),
  ];
  for (const [k, x] of lower.entries()) {
    if (x > upper[k]!) throw rangeError(`a number up to ${upper[k]}`, `projection.box[0][${k}]`, x);
  }
  return { projection: 'box', lower, upper };
}
