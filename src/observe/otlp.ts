/** Only ever loaded by `import()`, where traces are wanted: with it comes the whole SDK. */
import { DiagLogLevel, diag } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor, type SpanExporter } from "@opentelemetry/sdk-trace-base";
import type { Logger } from "pino";
import type { EventHub } from "../events.js";
import type { Tracer } from "../trace.js";
import { withoutSecrets } from "./error-fields.js";
import { requestTracer } from "./spans.js";
import { programVersion } from "./version.js";

/** For what is still here when the process ends, ms. A collector that does not answer must not hold up a rollout. */
const flushMs = 2_000;
/** Different lines about the SDK's own troubles. */
const mostLines = 20;

export interface Tracing {
  readonly tracer: Tracer;
  /** Sends what is still here, for as long as that may take. Never rejects. */
  close(): Promise<void>;
}

/** Sampler, limits, batches, endpoint, headers and resource are read from the `OTEL_*` variables by the SDK itself. */
export function openOtlp(hub: EventHub, log: Logger): Tracing {
  tellOnce(log);
  const own = resourceFromAttributes({ "service.name": "idempotency-gateway", "service.version": programVersion() });
  const provider = new BasicTracerProvider({
    resource: defaultResource()
      .merge(own)
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(patient(new OTLPTraceExporter(), log))],
  });
  return {
    tracer: requestTracer(provider.getTracer("idempotency-gateway", programVersion()), hub),
    async close() {
      let timer: NodeJS.Timeout | undefined;
      const over = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, flushMs);
      });
      await Promise.race([provider.shutdown().catch(() => {}), over]);
      clearTimeout(timer);
    },
  };
}

/** The same exporter; a failure is a line in the log when it begins, and one when it is over, and nobody else hears of it. */
function patient(exporter: SpanExporter, log: Logger): SpanExporter {
  let isFailing = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const hasFailed = result.code !== 0;
        if (hasFailed && !isFailing) {
          log.warn(
            { why: withoutSecrets(result.error?.message ?? "") },
            "traces cannot be sent; requests are not affected",
          );
        } else if (!hasFailed && isFailing) log.info("traces are sent again");
        isFailing = hasFailed;
        done({ code: 0 });
      });
    },
    forceFlush: async () => exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
  };
}

/** What the SDK has to say of itself, a mistake in a variable most of all. Each thing once. */
function tellOnce(log: Logger): void {
  const told = new Set<string>();
  const tell = (message: string) => {
    if (told.has(message) || told.size >= mostLines) return;
    told.add(message);
    log.warn({ why: withoutSecrets(message) }, "OpenTelemetry");
  };
  const silent = () => {};
  diag.setLogger(
    { error: tell, warn: tell, info: silent, debug: silent, verbose: silent },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}
