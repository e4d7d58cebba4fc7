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
export {
  createMetrics,
  createTrafficMetrics,
  type Metrics,
  type MetricsOptions,
  type TrafficMetrics,
} from './metrics.ts';
export { openSheetFiles, type SheetFiles } from './sheet/files.ts';
export type { SheetDescriptors } from './sheet/layout.ts';
export { CopyReader, SheetReader } from './sheet/reader.ts';
export type { Reading, ReadingSource, Series } from './sheet/reading.ts';
export { Sheet } from './sheet/sheet.ts';
export type { SheetSum } from './sheet/sum.ts';
