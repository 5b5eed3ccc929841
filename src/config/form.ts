import { METHODS } from "node:http";
import { isIP } from "node:net";
import { nearest } from "./nearest.js";

/** What a text must look like beyond being one. */
export interface TextForm {
  /** For the JSON Schema: never stricter than `problem`. */
  readonly pattern?: string;
  /** What a message calls it, where it stands beside other kinds of values. */
  readonly noun?: string;
  /** What is wrong with it, as the end of "PATH: …". */
  problem(value: string): string | undefined;
}

/** RFC 9110 §5.1. */
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110 §7.6.1, and what older agents treat alike: they never travel beyond one connection. */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export const headerName: TextForm = {
  pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
  problem(value) {
    if (!token.test(value)) return `${JSON.stringify(value)} is not a header name`;
    return hopByHop.has(value.toLowerCase()) ? `${value} belongs to one connection and cannot be used here` : undefined;
  },
};

/** RFC 9110 §8.3.1, without parameters. */
export const mediaType: TextForm = {
  pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
  problem(value) {
    const [type = "", subtype = "", ...rest] = value.split("/");
    if (rest.length === 0 && token.test(type) && token.test(subtype) && type !== "*") return undefined;
    return `${JSON.stringify(value)} is not a media type (without parameters)`;
  },
};

/** What node's parser lets through, less CONNECT, which has no path to be routed by. */
const methods = METHODS.filter((name) => name !== "CONNECT");

export const method: TextForm = {
  pattern: "^[A-Z-]+$",
  problem(value) {
    if (methods.includes(value)) return undefined;
    const near = nearest(value, methods);
    return `${JSON.stringify(value)} is not a method that can be served${near ? `; did you mean ${near}?` : ""}`;
  },
};

export const regularExpression: TextForm = {
  problem(value) {
    try {
      new RegExp(value);
      return undefined;
    } catch (error) {
      return `is not a regular expression: ${(error as Error).message.replace(/^Invalid regular expression: /, "")}`;
    }
  },
};

export const cidr: TextForm = {
  problem(value) {
    const [address = "", prefix, ...rest] = value.split("/");
    const bits = isIP(address) === 4 ? 32 : isIP(address) === 6 ? 128 : 0;
    if (bits > 0 && rest.length === 0) {
      if (prefix === undefined || (/^\d+$/.test(prefix) && Number(prefix) <= bits)) return undefined;
    }
    return `${JSON.stringify(value)} is not an address block such as 10.0.0.0/8 or fd00::/8`;
  },
};

export const routeName: TextForm = {
  problem(value) {
    if (value.trim() !== value) return "begins or ends with a space";
    return /\p{Cc}/u.test(value) ? "holds a control character" : undefined;
  },
};

/** RFC 6750 §2.1 allows less; what matters is that it can be sent in a header and has no space in it. */
export const bearerToken: TextForm = {
  problem(value) {
    return /^[\x21-\x7e]*$/.test(value) ? undefined : "may hold only printable ASCII without spaces";
  },
};

export const listenHost: TextForm = {
  problem(value) {
    if (isIP(value) !== 0 || /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(value)) return undefined;
    if (/^\[.*\]$/.test(value)) return `write ${value.slice(1, -1)}, without brackets`;
    if (/:\d+$/.test(value)) return "takes a host alone; the port has its own setting beside it";
    return `${JSON.stringify(value)} is not an address or a host name`;
  },
};

/** A name without a port; an address cannot be asked for (RFC 6066 §3). */
export const tlsName: TextForm = {
  problem(value) {
    if (isIP(value) !== 0) return "takes a host name; an address is verified without it";
    if (/^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(value)) return undefined;
    return `${JSON.stringify(value)} is not a host name`;
  },
};

export const routeHost: TextForm = {
  problem(value) {
    if (value.includes("*")) return "takes one exact host; leave it out to match every host";
    if (/[/?#@\\\s]/.test(value) || !URL.canParse(`http://${value}`)) {
      return `${JSON.stringify(value)} is not a host name`;
    }
    return /:\d*$/.test(value.replace(/\[.*\]/, "")) ? "takes a host without a port" : undefined;
  },
};

/** An origin as browsers write it in `Origin` (RFC 6454 §6.2), or `*`. */
export const corsOrigin: TextForm = {
  problem(value) {
    if (value === "*" || value === "null") return undefined;
    const shown = JSON.stringify(value);
    if (!/^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@,]+\/?$/i.test(value))
      return `${shown} is not an origin such as https://shop.example`;
    if (!/^https?:/i.test(value)) return undefined;
    const near = URL.canParse(value) ? new URL(value).origin : undefined;
    if (near === value) return undefined;
    return `${shown} is not as browsers write it${near === undefined ? "" : `; did you mean ${near}?`}`;
  },
};

/** An absolute URI or a reference to one (RFC 3986), as far as its alphabet goes. */
export const uri: TextForm = {
  pattern: "^[!#-;=?-\\[\\]_a-z~]+$",
  problem(value) {
    return /^[!#-;=?-[\]_a-z~]+$/.test(value) ? undefined : `${JSON.stringify(value)} is not a URI`;
  },
};
