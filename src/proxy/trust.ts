import { BlockList, isIP, isIPv4 } from "node:net";

/**
 * Tells whether a peer's word about the client before it is believed (`server.trustProxy`): `true` for every peer, or a
 * list of addresses and CIDR blocks. An IPv4 peer is the same in both of its spellings.
 */
export function compileTrust(trustProxy: boolean | readonly string[]): (address: string | undefined) => boolean {
  if (typeof trustProxy === "boolean") return () => trustProxy;
  const trusted = new BlockList();
  for (const block of trustProxy) addBlock(trusted, block);
  return (address) => {
    const plain = address === undefined ? "" : plainAddress(address);
    const family = isIP(plain);
    return family !== 0 && trusted.check(plain, family === 4 ? "ipv4" : "ipv6");
  };
}

function addBlock(trusted: BlockList, block: string): void {
  const slash = block.indexOf("/");
  const written = slash < 0 ? block : block.slice(0, slash);
  const address = plainAddress(written);
  const bits = isIPv4(address) ? 32 : 128;
  if (isIP(address) === 0) throw new RangeError(`not an address or CIDR block: ${block}`);
  // ::ffff:10.0.0.0/104 is 10.0.0.0/8
  const mappedBits = address === written ? 0 : 96;
  const prefix = slash < 0 ? bits : prefixOf(block.slice(slash + 1)) - mappedBits;
  if (!(prefix >= 0 && prefix <= bits)) throw new RangeError(`not an address or CIDR block: ${block}`);
  trusted.addSubnet(address, prefix, bits === 32 ? "ipv4" : "ipv6");
}

function prefixOf(text: string): number {
  return /^[0-9]{1,3}$/.test(text) ? Number(text) : Number.NaN;
}

/** Without a zone, and an IPv4-mapped address as IPv4. */
function plainAddress(address: string): string {
  const zone = address.indexOf("%");
  const unzoned = zone < 0 ? address : address.slice(0, zone);
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(unzoned);
  return mapped?.[1] ?? unzoned;
}
