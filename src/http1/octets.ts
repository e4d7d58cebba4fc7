/** The classes of octets that HTTP/1.1 is made of: 1 where an octet belongs, 0 elsewhere. */
export type OctetClass = Uint8Array;

function classOf(belongs: (octet: number) => boolean): OctetClass {
  return Uint8Array.from({ length: 256 }, (_, octet) => (belongs(octet) ? 1 : 0));
}

const tokenOctets = new Set(
  Buffer.from("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 'latin1'),
);

/** token (RFC 9110 §5.6.2). */
export const token = classOf((octet) => tokenOctets.has(octet));

/** What a field value is made of: visible characters, blanks and obs-text (RFC 9110 §5.5). */
export const fieldContent = classOf((octet) => octet === 0x09 || (octet >= 0x20 && octet !== 0x7f));

/** What follows the first slash of a request target in origin-form: printable ASCII without a fragment (RFC 9112 §3.2.1). */
export const targetContent = classOf((octet) => octet > 0x20 && octet < 0x7f && octet !== 0x23);

/** The values of hexadecimal digits; -1 elsewhere. */
export const hexValue = Int8Array.from({ length: 256 }, (_, octet) => {
  const digit = Number.parseInt(String.fromCharCode(octet), 16);
  return Number.isNaN(digit) ? -1 : digit;
});

export const cr = 0x0d;
export const lf = 0x0a;
export const space = 0x20;
export const tab = 0x09;
export const colon = 0x3a;
export const slash = 0x2f;
