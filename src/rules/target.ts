/** What a request names: the authority in `Host`, and the request target (RFC 9112 §3.2, §3.3). */

/** The host in lower case, without port and final dot; `undefined` when the value is no `host [":" port]`. */
export function hostName(value: string): string | undefined {
  let end = value.length;
  const isAddress = value.charCodeAt(0) === 0x5b;
  if (isAddress) {
    end = value.indexOf("]") + 1;
    if (!/^\[[0-9A-Fa-f:.]+\]$/.test(value.slice(0, end))) return undefined;
  } else {
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code === 0x3a) {
        end = i;
        break;
      }
      if (!isHostCharacter(code)) return undefined;
    }
  }
  if (!isPort(value, end)) return undefined;
  if (!isAddress && end > 0 && value.charCodeAt(end - 1) === 0x2e) end--;
  return end === 0 ? undefined : value.slice(0, end).toLowerCase();
}

/**
 * The target as a path and a query, `*` as it is. `undefined` for everything that is meant for another server or for
 * none: an absolute form that does not name the authority in `host`, an authority form, a relative path.
 */
export function originForm(target: string, host: string): string | undefined {
  if (target.charCodeAt(0) === 0x2f || target === "*") return target;
  const scheme = /^https?:\/\//i.exec(target)?.[0];
  if (scheme === undefined) return undefined;
  const rest = target.slice(scheme.length);
  const end = rest.search(/[/?#\\]/);
  const authority = end < 0 ? rest : rest.slice(0, end);
  if (hostName(authority) === undefined) return undefined;
  const defaultPort = scheme.length === "https://".length ? ":443" : ":80";
  if (withoutPort(authority, defaultPort) !== withoutPort(host, defaultPort)) return undefined;
  const origin = end < 0 ? "" : rest.slice(end);
  return origin.charCodeAt(0) === 0x2f ? origin : `/${origin}`;
}

/** Letters, digits, `-`, `.`, `_`, `~`: what host names are made of in practice, and nothing that divides anything. */
function isHostCharacter(code: number): boolean {
  const letter = code | 0x20;
  if (letter >= 0x61 && letter <= 0x7a) return true;
  return (code >= 0x30 && code <= 0x39) || code === 0x2e || code === 0x2d || code === 0x5f || code === 0x7e;
}

function isPort(value: string, at: number): boolean {
  if (at === value.length) return true;
  if (value.charCodeAt(at) !== 0x3a || value.length - at > 6) return false;
  for (let i = at + 1; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < 0x30 || code > 0x39) return false;
  }
  return true;
}

function withoutPort(authority: string, defaultPort: string): string {
  const lower = authority.toLowerCase();
  if (lower.endsWith(defaultPort)) return lower.slice(0, -defaultPort.length);
  return lower.endsWith(":") ? lower.slice(0, -1) : lower;
}
