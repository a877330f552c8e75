/** The way into the native layer. */

export { addon, addonPath, type NativeModel, type NativeStatus, type StartJob } from './addon.ts';
export { type Device, type DeviceInfo, devices, resolveDevice } from './devices.ts';
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
