import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import type { Upstream } from "../model.js";
import type { ConfigFiles } from "./files.js";
import type { Findings } from "./findings.js";
import { writtenAt } from "./routes.js";
import type { RouteSettings } from "./schema.js";

/** A file of certificates, as the configuration names it, and when the first of them ends. */
export interface CertificateFile {
  readonly file: string;
  readonly notAfterMs: number;
}

/** Reads the PEM files that a configuration names; what is wrong with one is told at the path that names it. */
export class TlsFiles {
  readonly #certificates = new Map<string, CertificateFile>();

  constructor(
    private readonly files: ConfigFiles,
    private readonly findings: Findings,
  ) {}

  /** Of all that were read so far, each once. */
  get certificates(): readonly CertificateFile[] {
    return [...this.#certificates.values()];
  }

  /** The texts behind `server.tls`, or `null`. */
  server(tls: KeyPairFiles | undefined): { readonly cert: string; readonly key: string } | null {
    if (tls === undefined || !this.findings.isSound("server.tls")) return null;
    return this.#pair(tls, (name) => `server.tls.${name}`) ?? null;
  }

  /** Of each route, in their order. */
  upstreams(routes: readonly RouteSettings[]): readonly Upstream["tls"][] {
    return routes.map((route, index) => this.#upstream(route, (name) => writtenAt(this.findings, index, name)));
  }

  #upstream({ upstream: { url, tls } }: RouteSettings, at: (setting: string) => string): Upstream["tls"] {
    const group = "upstream.tls";
    if (tls === undefined || !this.findings.isSound(at(group), at("upstream.url"))) return null;
    // Where it is inherited, the routes with plain upstreams have no use for it.
    if (!url.startsWith("https:")) {
      if (!at(group).startsWith("defaults."))
        this.findings.mistake(at(group), `works with https: only, and url is ${url}`);
      return null;
    }
    const path = (name: string) => at(`${group}.${name}`);
    const ca =
      tls.ca === undefined ? null : (this.#read(path("ca"), tls.ca, "a PEM certificate", chainOf)?.text ?? null);
    const { cert, key } = tls;
    if (cert !== undefined && key !== undefined) {
      const pair = this.#pair({ cert, key }, path);
      return { serverName: tls.serverName ?? null, ca, cert: pair?.cert ?? null, key: pair?.key ?? null };
    }
    if (cert !== undefined) this.findings.mistake(path("cert"), "needs its private key: set upstream.tls.key too");
    if (key !== undefined) this.findings.mistake(path("key"), "needs its certificate: set upstream.tls.cert too");
    return { serverName: tls.serverName ?? null, ca, cert: null, key: null };
  }

  #pair(written: KeyPairFiles, at: (name: string) => string): { cert: string; key: string } | undefined {
    const cert = this.#read(at("cert"), written.cert, "a PEM certificate", chainOf);
    const key = this.#read(at("key"), written.key, "a PEM private key without passphrase", privateKey);
    if (cert === undefined || key === undefined) return undefined;
    if (!cert.value[0]!.checkPrivateKey(key.value)) {
      this.findings.mistake(at("key"), `is not the key of the certificate in ${written.cert}`);
    }
    return { cert: cert.text, key: key.text };
  }

  #read<T>(path: string, written: string, what: string, parse: (pem: string) => T): PemFile<T> | undefined {
    // Written as a secret elsewhere would be.
    const file = written.replace(/^file:/, "");
    const read = this.files.read(file);
    if (!read.ok) {
      this.findings.mistake(path, read.message);
      return undefined;
    }
    try {
      const value = parse(read.value);
      if (Array.isArray(value)) this.#note(path, file, value);
      return { text: read.value, value };
    } catch {
      this.findings.mistake(path, `${written} does not hold ${what}`);
      return undefined;
    }
  }

  #note(path: string, file: string, chain: readonly X509Certificate[]): void {
    const ends = chain.map(({ validTo }) => Date.parse(validTo));
    const first = chain[ends.indexOf(Math.min(...ends))]!;
    const notAfterMs = Date.parse(first.validTo);
    this.#certificates.set(file, { file, notAfterMs });
    if (notAfterMs < Date.now()) this.findings.warning(path, `the certificate expired on ${first.validTo}`);
  }
}

interface KeyPairFiles {
  readonly cert: string;
  readonly key: string;
}

interface PemFile<T> {
  readonly text: string;
  readonly value: T;
}

/** All certificates of a file, of which there is at least one. */
function chainOf(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  return (blocks ?? [pem]).map((block) => new X509Certificate(block));
}

function privateKey(pem: string): KeyObject {
  return createPrivateKey(pem);
}
