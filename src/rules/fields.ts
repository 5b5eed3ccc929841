import type { HeaderPairs } from "../model.js";
import { addTokens, isNamed, trimSpace } from "./headers.js";
import { isOverrideHeader, overrideHeaders } from "./method-override.js";

/** What one pass over the header fields brings together. */
export interface Fields {
  /** How many, and the last of them; likewise for `Content-Length`. */
  hosts: number;
  host: string;
  lengths: number;
  length: string;
  /** Values of `Transfer-Encoding`. */
  codings: string[];
  /** Values of method override fields, in upper case. */
  overrides: string[];
  /** Whether the body has a `Content-Encoding`. */
  hasCoding: boolean;
  /** Names that `Connection` lists, in lower case, without those that no proxy forwards anyway. */
  connection: string[];
  /** Values of `Via`. */
  via: string[];
  /** Names with other than letters, digits and single dashes between them, folded (`foldName`). */
  unusual: string[];
}

export function collectFields(rawHeaders: HeaderPairs): Fields {
  const fields = newFields();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (mayMatter[name.length]) collect(fields, name, rawHeaders[i + 1]!);
    if (isUnusual(name)) fields.unusual = [...fields.unusual, foldName(name)];
  }
  return fields;
}

/** Lengths of the names that `collect` knows: most fields are passed over without a look at their letters. */
const mayMatter: readonly boolean[] = Array.from({ length: 32 }, (_, length) =>
  [3, 4, 10, 14, 16, 17, ...overrideHeaders.map((name) => name.length)].includes(length),
);

function collect(fields: Fields, name: string, value: string): void {
  if (isNamed(name, "host")) {
    fields.hosts++;
    fields.host = value;
  } else if (isNamed(name, "connection")) {
    addListed(fields, value);
  } else if (isNamed(name, "content-length")) {
    fields.lengths++;
    fields.length = value;
  } else if (isNamed(name, "content-encoding")) {
    fields.hasCoding = true;
  } else if (isNamed(name, "transfer-encoding")) {
    fields.codings = [...fields.codings, value];
  } else if (isNamed(name, "via")) {
    fields.via = [...fields.via, value];
  } else if (isOverrideHeader(name)) {
    fields.overrides = [...fields.overrides, trimSpace(value).toUpperCase()];
  }
}

const nothing: string[] = [];

function newFields(): Fields {
  return {
    hosts: 0,
    host: "",
    lengths: 0,
    length: "",
    codings: nothing,
    overrides: nothing,
    hasCoding: false,
    connection: nothing,
    via: nothing,
    unusual: nothing,
  };
}

function addListed(fields: Fields, value: string): void {
  // What nearly every client sends, without a look at its parts.
  if (value === "keep-alive" || value === "close" || value === "Keep-Alive") return;
  const names: string[] = [];
  addTokens(names, value);
  const listed = names.filter(
    (name) => name !== "close" && name !== "keep-alive" && name !== "upgrade" && name !== "te",
  );
  if (listed.length > 0) fields.connection = [...fields.connection, ...listed];
}

/** RFC 9112 §6: what the gateway and its upstream could count differently. */
export function framingDefect(fields: Fields, httpVersion: string): string | undefined {
  if (fields.lengths > 1) return "there is more than one Content-Length";
  if (fields.lengths === 1 && !/^[0-9]+$/.test(fields.length)) return "Content-Length is not valid";
  if (fields.codings.length === 0) return undefined;
  if (fields.lengths > 0) return "there are both Content-Length and Transfer-Encoding";
  if (httpVersion === "1.0") return "HTTP/1.0 has no Transfer-Encoding";
  if (fields.codings.length > 1 || trimSpace(fields.codings[0]!).toLowerCase() !== "chunked") {
    return "Transfer-Encoding is not chunked";
  }
  return undefined;
}

/** Fields that mean something on every route. CGI, WSGI and some servers read other characters in a name as `-`. */
const sensitive: ReadonlySet<string> = new Set([
  "host",
  "connection",
  "expect",
  "forwarded",
  "upgrade",
  "via",
  "content-length",
  "content-type",
  "content-encoding",
  "transfer-encoding",
  "x-real-ip",
  "x-original-url",
  "x-rewrite-url",
]);

/** `unusual`: folded names. */
export function twinDefect(unusual: readonly string[]): string | undefined {
  for (const twin of unusual) {
    if (sensitive.has(twin) || isOverrideHeader(twin) || twin.startsWith("x-forwarded-")) {
      return `a field differs from ${twin} only by characters that are no letters or digits`;
    }
  }
  return undefined;
}

/** Equal for two names that differ by nothing but case and characters that are no letters or digits. */
export function foldName(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
}

/** Whether folding changes more of a name than letter case. */
export function isUnusual(name: string): boolean {
  let wasLetter = false;
  for (let i = 0; i < name.length; i++) {
    const isLetter = isAlphanumeric[name.charCodeAt(i)] === true;
    if (!isLetter && (name.charCodeAt(i) !== 0x2d || !wasLetter)) return true;
    wasLetter = isLetter;
  }
  return !wasLetter;
}

const isAlphanumeric: readonly boolean[] = Array.from({ length: 128 }, (_, code) =>
  /[A-Za-z0-9]/.test(String.fromCharCode(code)),
);
