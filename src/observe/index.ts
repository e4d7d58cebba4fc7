export { type Condition, Conditions } from './conditions.ts';
export {
  createLogger,
  type LogFormat,
  type Logger,
  type LogLevel,
  type LogOptions,
  logFormats,
  logLevels,
} from './logger.ts';
export { createMetrics, type Metrics } from './metrics.ts';
