// ONNX graphs, encoded by hand: a protobuf library would be larger than what is needed of the format (onnx.proto).

const varint = (value) => {
  const bytes = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 128);
  }
};
// Fields of protocol buffers: an integer; bytes, a text or a nested message.
const integer = (field, value) => [...varint(field << 3), ...varint(value)];
const nested = (field, value) => {
  const bytes = typeof value === 'string' ? [...Buffer.from(value)] : value.flat();
  return [...varint((field << 3) | 2), ...varint(bytes.length), ...bytes];
};

// Element types and the type of an attribute.
export const FLOAT = 1;
export const INT64 = 7;
const INT = 2;

/** An operation; `axis`, unless undefined, is its one attribute. */
export function node(type, inputs, output, axis) {
  // A negative int64 is ten bytes; of those, only -1 is needed.
  const value = axis === -1 ? [...Array(9).fill(255), 1] : [axis];
  const attribute = nested(5, [nested(1, 'axis'), [...varint(3 << 3), ...value], integer(20, INT)]);
  const parts = [...inputs.map((name) => nested(1, name)), nested(2, output), nested(4, type)];
  return nested(1, axis === undefined ? parts : [...parts, attribute]);
}

function value(field, name, type, dims) {
  const shape = nested(
    2,
    dims.map((dim) => nested(1, nested(2, dim))),
  );
  return nested(field, [nested(1, name), nested(2, nested(1, [integer(1, type), shape]))]);
}
/** A tensor that goes in or comes out: [name, element type, names of the dimensions]. */
export const input = (name, type, dims) => value(11, name, type, dims);
export const output = (name, type, dims) => value(12, name, type, dims);

/** A tensor of floats that is part of the model. */
export const weights = (name, values, dims) =>
  nested(5, [
    ...dims.map((dim) => integer(1, dim)),
    integer(2, FLOAT),
    nested(8, name),
    nested(9, [...new Uint8Array(values.buffer, values.byteOffset, values.byteLength)]),
  ]);

/** The bytes of a model file. */
export function encodeModel(name, parts) {
  const opset = nested(8, [nested(1, ''), integer(2, 13)]);
  return Uint8Array.from([integer(1, 8), nested(7, [...parts, nested(2, name)]), opset].flat());
}
