import type { CertificateSource } from '../certificates/index.ts';
import type { Finding } from '../errors.ts';
import { buildNameIndex } from '../tls/index.ts';
import { decide, type Verdict } from './decide.ts';
import { gather } from './gather.ts';
import { SourceReader } from './source-reader.ts';

/** What is on disk, judged without serving anything: what `check` shows. */
export async function inspect(
  sources: readonly CertificateSource[],
  loadTimeout = 10_000,
  now = Date.now(),
): Promise<{ verdicts: readonly Verdict[]; failures: readonly Finding[]; findings: readonly Finding[] }> {
  const readers = sources.map((source) => new SourceReader(source, loadTimeout));
  // A source that hangs keeps nothing alive, and here nothing else does.
  const awake = setInterval(() => {}, loadTimeout);
  try {
    await Promise.all(readers.map((reader) => reader.read(true)));
  } finally {
    clearInterval(awake);
    for (const source of sources) source.close?.();
  }
  const { candidates, failures } = gather(readers, new Map());
  const { verdicts, target } = decide(candidates, new Map(), now);
  const { shadowed } = buildNameIndex(
    target.map((identity) => ({ identity })),
    now,
  );
  return { verdicts, failures, findings: shadowed };
}
