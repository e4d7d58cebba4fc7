const milliseconds: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const bytes: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

export const durationPattern = /^\d+(\.\d+)?(ms|s|m|h|d)$/;
export const sizePattern = /^\d+(B|KiB|MiB|GiB)$/;

/** `500ms`, `30s`, `5m`, `1h`, `7d` in milliseconds. The text has to match {@link durationPattern}. */
export function parseDuration(text: string): number {
  const unit = text.replace(/^[\d.]+/, '');
  return Number.parseFloat(text) * (milliseconds[unit] ?? Number.NaN);
}

/** `64KiB`, `1MiB` in bytes. The text has to match {@link sizePattern}. */
export function parseSize(text: string): number {
  const unit = text.replace(/^\d+/, '');
  return Number.parseInt(text, 10) * (bytes[unit] ?? Number.NaN);
}
