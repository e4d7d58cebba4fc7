/** Configuration: command line over environment over file, checked by one schema. */
export { type Defaults, loadConfig, type Overrides } from './load.ts';
export { type Config, type ConfigInput, configSchema, jsonSchema } from './schema.ts';
export { nearest } from './suggest.ts';
export { parseDuration, parseSize } from './units.ts';
