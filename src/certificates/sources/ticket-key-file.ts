import { resolve } from 'node:path';
import { finding } from '../../errors.ts';
import type { WatchTarget } from '../../files/index.ts';
import { Secret } from '../secret.ts';
import type { CertificateSource, SourceMaterial } from '../types.ts';
import { NamedFiles } from './named-files.ts';
import { parseTicketKeys } from './ticket-key-format.ts';

/** The file of session ticket keys, which replicas share so that sessions opened on one are resumed on another. */
export class TicketKeyFileSource implements CertificateSource {
  readonly id: string;
  readonly givesTicketKeys = true;
  readonly #path: string;
  readonly #files: NamedFiles;

  /** @param path of a file as nginx or HAProxy reads it; {@link parseTicketKeys} tells the formats */
  constructor(path: string) {
    this.id = path;
    this.#path = resolve(path);
    this.#files = new NamedFiles([this.#path]);
  }

  get watch(): WatchTarget[] {
    return this.#files.watch;
  }

  async load({ thorough }: { readonly thorough: boolean }): Promise<SourceMaterial> {
    const { contents, findings, watch } = await this.#files.read(thorough);
    const content = contents.get(this.#path);
    if (!content) return { identities: [], findings, watch };
    const parsed = parseTicketKeys(content.bytes);
    if ('fault' in parsed) {
      const message = `${this.#path} ${parsed.fault}`;
      const invalid = finding('TICKET_KEYS_INVALID', 'error', { message, file: this.#path });
      return { identities: [], findings: [...findings, invalid], watch };
    }
    const key = new Secret(parsed.key.toString('base64'));
    return { identities: [], ticketKeys: { source: this.id, key }, findings, watch };
  }
}
