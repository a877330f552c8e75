/** What the machine itself can do. */

export { type MachineLimits, type MachineOptions, machineLimits } from './limits.ts';
