type Fields = Record<string, unknown>;

/** Names of fields whose value is secret, and what is written in its place. */
export const secretNames = ['key', 'keyPem', 'passphrase', 'ticketKeys'];
export const censored = '[secret]';

const secret = new Set(secretNames);

/**
 * The fields of a line of the log without what is secret by its name, here or one level below. Nothing hands a key to the logger; should a
 * later change do so by mistake, it does not come out. pino's own `redact` would need
 * twice the time that the rest of a line takes for what is below.
 */
export function withoutSecrets(fields: Fields): Fields {
  for (const name in fields) {
    const value = fields[name];
    if (secret.has(name) || (typeof value === 'object' && value !== null && holdsSecret(value))) return cleaned(fields);
  }
  return fields;
}

function holdsSecret(value: object): boolean {
  for (const name in value) if (secret.has(name)) return true;
  return false;
}

function cleaned(fields: Fields): Fields {
  const clean: Fields = {};
  for (const [name, value] of Object.entries(fields)) {
    const nested = typeof value === 'object' && value !== null && holdsSecret(value);
    clean[name] = secret.has(name) ? censored : nested ? withoutSecrets(value as Fields) : value;
  }
  return clean;
}
