/** Fields whose value clients and proxies make for each attempt: times, ids of requests and traces, signatures, nonces. */
const volatileHeaders: ReadonlySet<string> = new Set([
  "date",
  "x-date",
  "x-amz-date",
  "x-ms-date",
  "x-goog-date",
  "x-amz-content-sha256",
  "x-amzn-trace-id",
  "x-cloud-trace-context",
  "traceparent",
  "tracestate",
  "b3",
  "uber-trace-id",
  "sentry-trace",
  "baggage",
  "x-datadog-trace-id",
  "x-datadog-parent-id",
  "request-id",
  "x-request-id",
  "x-requestid",
  "correlation-id",
  "x-correlation-id",
  "x-transaction-id",
  "x-ms-client-request-id",
  "amz-sdk-invocation-id",
  "amz-sdk-request",
  "cf-ray",
  "x-request-start",
  "x-nonce",
  "nonce",
  "dpop",
  "digest",
  "content-digest",
  "content-length",
  "content-md5",
  "proxy-authorization",
]);

/** A header that does not identify the client: a scope made of it is another one in each retry. */
export function isNewInEachAttempt(header: string): boolean {
  const name = header.toLowerCase();
  return volatileHeaders.has(name) || /^x-b3-|signature|timestamp|(?:^|-)nonce/.test(name);
}
