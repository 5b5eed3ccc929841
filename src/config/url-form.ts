import type { TextForm } from "./form.js";

/** Scheme, host and port: the path of a request is forwarded as it came. */
export const upstreamOrigin: TextForm = {
  problem(value) {
    const url = httpUrl(value);
    if (typeof url === "string") return url;
    if (hasCredentials(url)) return "may not hold a user or a password";
    if (url.search !== "" || url.hash !== "") return `may not hold a query or a fragment; write ${url.origin}`;
    if (url.pathname !== "/") {
      return `may not hold a path, requests keep theirs: write ${url.origin}`;
    }
    return undefined;
  },
};

/** An absolute URL, or what is wrong with it. */
export function httpUrl(value: string): URL | string {
  const expected = "expected a URL such as http://legacy-payments:3000";
  if (!/^https?:\/\//i.test(value)) {
    const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(value)?.[1];
    if (scheme !== undefined) return `${expected}, got one with ${scheme}://`;
    const bare = URL.canParse(`http://${value}`) && /^[\w[][^\s@]*$/.test(value);
    return `${expected}${bare ? `; did you mean http://${value}?` : ""}`;
  }
  if (/[\s\\]/.test(value) || !URL.canParse(value)) return expected;
  return new URL(value);
}

export function hasCredentials(url: URL): boolean {
  return url.username !== "" || url.password !== "";
}

/** A Redis URL may hold a password, so no message repeats any of it. */
export const redisUrl: TextForm = {
  problem(value) {
    const expected = "expected a URL such as redis://user:password@host:6379/0, or rediss:// for TLS";
    if (!/^rediss?:\/\//i.test(value)) return expected;
    if (!URL.canParse(value)) return `${expected}; a password with special characters has to be percent-encoded`;
    const url = new URL(value);
    if (url.hostname === "") return `${expected}; it names no host`;
    if (url.hash !== "" || url.search !== "") {
      return `${expected}; it has a ? or # in it, which a password has to percent-encode (%3F, %23)`;
    }
    return /^\/?\d*$/.test(url.pathname) ? undefined : `${expected}; after the host comes the number of a database`;
  },
};

export const hostPort: TextForm = {
  problem(value) {
    const port = Number(/:(\d{1,5})$/.exec(value)?.[1]);
    const isWhole = /^[^\s/@?#\\]+:\d+$/.test(value) && URL.canParse(`http://${value}`);
    return isWhole && port >= 1 && port <= 65535 ? undefined : `expected host:port, got ${JSON.stringify(value)}`;
  },
};
