/** The way into the native layer. */

export { addon, addonPath, type NativeModel, type NativeStatus } from './addon.ts';
export { cudaAddonPath, type GpuInfo } from './cuda.ts';
export {
  type Device,
  type DeviceInfo,
  deviceName,
  devices,
  type Operation,
  resolveDevice,
  unavailable,
} from './devices.ts';
export {
  checkJobOptions,
  checkOwnership,
  isShared,
  type JobOptions,
  limitProgress,
  type Ownership,
  privateCopy,
  returning,
  runJob,
  seedWords,
  takeInput,
  takeTurns,
  throwStatus,
  untilAborted,
  withSignal,
} from './job.ts';
