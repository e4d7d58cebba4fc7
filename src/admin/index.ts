/** The admin endpoints: health, metrics, status, reload. */
export { type AdminOptions, AdminServer } from './server.ts';
export {
  buildReloadAnswer,
  buildStatus,
  type ReloadAnswer,
  type ReloadResult,
  type RestartAnswer,
  type Status,
  type StatusSources,
} from './status.ts';
