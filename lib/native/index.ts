/** The way into the native layer. */

export { addon, addonPath } from './addon.ts';
export { type Device, type DeviceInfo, devices, resolveDevice } from './devices.ts';
export {
  checkJobOptions,
  checkOwnership,
  type JobOptions,
  type Ownership,
  returning,
  runJob,
  takeInput,
  throwStatus,
} from './job.ts';
