import type { Route } from "../model.js";
import type { ProblemTypes } from "../problem.js";
import type { CertificateFile } from "./tls-files.js";

/** The whole configuration, validated, compiled and frozen. Units are in the names; nothing is optional by accident. */
export interface Config {
  readonly server: {
    readonly host: string;
    readonly port: number;
    readonly workers: number | "auto";
    /** `false`: node's and undici's parsers read and write every message. */
    readonly fastPath: boolean;
    readonly drainTimeoutMs: number;
    /** `true`: every peer's X-Forwarded-* is believed; a list: only that of peers in these CIDR blocks. */
    readonly trustProxy: boolean | readonly string[];
    /** PEM texts, read when the configuration was. */
    readonly tls: { readonly cert: string; readonly key: string } | null;
    readonly limits: {
      readonly requestBodyBytes: number;
      readonly bufferedBodiesBytes: number;
      readonly headersTimeoutMs: number;
      readonly requestTimeoutMs: number;
      readonly connections: number;
      readonly pipelined: number;
    };
  };
  readonly admin: {
    readonly host: string;
    readonly port: number;
    /** `null`: none asked for. */
    readonly token: string | null;
  };
  readonly store: StoreConfig;
  readonly logging: { readonly level: LogLevel; readonly format: "json" | "pretty" };
  readonly problems: ProblemTypes;
  readonly routes: readonly Route[];
  /** The files of certificates it was made of. */
  readonly certificates: readonly CertificateFile[];
}

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

export type StoreConfig = EmbeddedConfig | RedisConfig;

export interface EmbeddedConfig {
  readonly type: "embedded";
  /** A folder; made when it is not there. */
  readonly path: string;
}

export interface RedisConfig {
  readonly type: "redis";
  readonly url: string;
  readonly sentinel: {
    readonly master: string;
    readonly nodes: readonly string[];
    /** Of the sentinels themselves; none where absent or empty. */
    readonly user?: string;
    readonly password?: string;
  } | null;
  readonly cluster: { readonly nodes: readonly string[] } | null;
  readonly keyPrefix: string;
  readonly commandTimeoutMs: number;
  readonly waitReplicas: number;
  readonly requireNoEviction: boolean;
  readonly locks: { readonly nodes: readonly string[] };
}
