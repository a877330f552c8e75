/** Readers of what other tools write. A missing value is never 0; errors name the file and the place. */

export { type GenerationOptions, type Generations, readGenerations } from './generations.ts';
export { type LogProbOptions, type LogProbs, logRatios, modelNames, readLogProbs } from './logprobs.ts';
export { type ModelFile, modelError, readModel } from './model.ts';
export { type NpyArray, readNpy } from './npy.ts';
export { FormatError, listNames, type Place, placeText, printable, suggest } from './place.ts';
export { type LogRatios, readLogRatios } from './ratios.ts';
export { readSamples, type SampleOptions, type Samples } from './samples.ts';
export { openText } from './source.ts';
export { openTable, type Row, type RowSource, readTable, type Table, type TableOptions } from './table.ts';
export { type Reading, UNITS, type ValueKind, type ValueUnit } from './values.ts';
