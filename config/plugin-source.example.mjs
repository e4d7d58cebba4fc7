// An example of a plug-in source: certificates out of an HTTP endpoint that answers
//
//   { "certificates": [{ "name": "shop", "chain": "-----BEGIN CERTIFICATE-----…", "key": "-----BEGIN PRIVATE KEY-----…" }] }
//
// To use it:
//
//   certificates:
//     - module: ./plugin-source.example.mjs
//       options: { url: "http://127.0.0.1:8200/certificates", tokenFile: /run/secrets/token, every: 60 }
//
// A plug-in runs in a process of its own. A load that throws, exits, or takes more than ten seconds changes nothing of what is served;
// the process is ended, and the next load starts this module anew. What is printed here goes to Swivel's log.
import { readFile } from 'node:fs/promises';

/** @type {import('../src/certificates/index.ts').PluginFactory} */
export default function createSource(options, { log }) {
  const { url, tokenFile, every = 60 } = options;

  return {
    // Gives everything there is, each time. What is missing from the answer counts as removed, so rather throw than leave something out.
    async load({ signal }) {
      const headers = tokenFile ? { authorization: `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}` } : {};
      const response = await fetch(url, { headers, signal });
      if (!response.ok) throw new Error(`${url} answered ${response.status}`);
      const { certificates } = await response.json();
      log(`${certificates.length} certificates`);
      return {
        // The id stays the same when a certificate is renewed. Swivel checks key, chain, dates and names itself.
        identities: certificates.map(({ name, chain, key }) => ({ id: name, certificatePem: chain, keyPem: key })),
        // Besides this, load is called on every resync and every reload. A directory in `watch` would have it called on each change there.
        askAgainAt: Date.now() + every * 1000,
      };
    },

    // Called once, when Swivel stops or after a failed load. Leave it out when there is nothing to give back.
    close() {},
  };
}
