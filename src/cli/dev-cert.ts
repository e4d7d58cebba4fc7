import { issueDevelopmentCertificate } from '../certificates/index.ts';

/** Writes a development CA and a leaf. @returns the exit code */
export async function devCert(directory: string, names: readonly string[]): Promise<number> {
  const issued = await issueDevelopmentCertificate(directory, names);
  process.stdout.write(
    `${issued.certificateFile} and ${issued.keyFile} for ${issued.names.join(', ')}, until ${issued.notAfter.toISOString().slice(0, 10)}\n` +
      `clients trust it with ${issued.authorityFile}\n`,
  );
  return 0;
}
