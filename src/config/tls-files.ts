import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import type { ConfigFiles } from "./files.js";
import type { Findings } from "./findings.js";

/** The PEM texts behind `server.tls`, or `null`; what is wrong with them is told at the path that names them. */
export function readTls(
  tls: { readonly cert: string; readonly key: string } | undefined,
  files: ConfigFiles,
  findings: Findings,
): { readonly cert: string; readonly key: string } | null {
  if (tls === undefined || !findings.isSound("server.tls")) return null;
  const cert = readPem("server.tls.cert", tls.cert, (pem) => new X509Certificate(pem), files, findings);
  const key = readPem("server.tls.key", tls.key, privateKey, files, findings);
  if (cert === undefined || key === undefined) return null;
  if (!cert.value.checkPrivateKey(key.value)) {
    findings.mistake("server.tls.key", `is not the key of the certificate in ${tls.cert}`);
  }
  if (Date.parse(cert.value.validTo) < Date.now()) {
    findings.warning("server.tls.cert", `the certificate expired on ${cert.value.validTo}`);
  }
  return { cert: cert.text, key: key.text };
}

function readPem<T>(
  path: string,
  file: string,
  parse: (pem: string) => T,
  files: ConfigFiles,
  findings: Findings,
): { readonly text: string; readonly value: T } | undefined {
  // Written as a secret elsewhere would be.
  const read = files.read(file.replace(/^file:/, ""));
  if (!read.ok) {
    findings.mistake(path, read.message);
    return undefined;
  }
  try {
    return { text: read.value, value: parse(read.value) };
  } catch {
    const what = path.endsWith("cert") ? "a PEM certificate" : "a PEM private key without passphrase";
    findings.mistake(path, `${file} does not hold ${what}`);
    return undefined;
  }
}

function privateKey(pem: string): KeyObject {
  return createPrivateKey(pem);
}
