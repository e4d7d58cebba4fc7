import { isIP } from 'node:net';
import { isServableName, issueDevelopmentCertificate, normalizeName } from '../certificates/index.ts';
import { SwivelError, systemCode } from '../errors.ts';

/** Writes a development CA and a leaf. @returns the exit code @throws SwivelError USAGE, OUTPUT_UNWRITABLE */
export async function devCert(directory: string, names: readonly string[]): Promise<number> {
  const wrong = names.find((name) => isIP(name) === 0 && !isServableName(normalizeName(name)));
  if (wrong !== undefined) throw new SwivelError('USAGE', `--name "${wrong}" is neither a host name nor an IP address`);
  const issued = await issueDevelopmentCertificate(directory, names).catch((error: unknown) => {
    const code = systemCode(error);
    if (code === undefined) throw error;
    throw new SwivelError('OUTPUT_UNWRITABLE', `${directory} cannot be written to (${code})`, { cause: error });
  });
  process.stdout.write(
    `${issued.certificateFile} and ${issued.keyFile} for ${issued.names.join(', ')}, until ${issued.notAfter.toISOString().slice(0, 10)}\n` +
      `clients trust it with ${issued.authorityFile}\n`,
  );
  return 0;
}
