#!/usr/bin/env node
// Imports nothing before the check: an older Node.js would fail on an import, not with a line that says what to do.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const supported = (major === 24 && minor >= 20) || (major === 26 && minor >= 7) || major > 26;

if (!supported) {
  process.stderr.write(
    `swivel: NODE_TOO_OLD: this Node.js (${process.version}) serves the wrong certificate to some clients; ` +
      'run Node.js 24.20 or newer in the 24 line, or 26.7 or newer\n',
  );
  process.exitCode = 2;
} else if ((await import('node:cluster')).default.isWorker) {
  const { readVersion } = await import('./version.ts');
  const { work } = await import('./plane/index.ts');
  process.exit(await work(readVersion()));
} else {
  const { exit, run } = await import('./cli/index.ts');
  exit(await run(process.argv.slice(2)));
}
