import type { Logger } from "pino";
import type { EventHub } from "../events.js";
import type { Tracing } from "./otlp.js";

type Environment = Readonly<Record<string, string | undefined>>;

export type TracingWish =
  | { readonly kind: "off" }
  | { readonly kind: "on" }
  /** Asked for, but not in a way this program knows. */
  | { readonly kind: "refused"; readonly why: string };

/**
 * Whether the standard variables ask for traces. Unlike an SDK alone, which sends to localhost unless told otherwise, a
 * gateway that nobody told anything sends nothing.
 */
export function tracingWish(env: Environment): TracingWish {
  const of = (name: string) => env[name]?.trim() ?? "";
  if (of("OTEL_SDK_DISABLED").toLowerCase() === "true") return { kind: "off" };
  const exporter = of("OTEL_TRACES_EXPORTER").toLowerCase();
  const endpoint = of("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") || of("OTEL_EXPORTER_OTLP_ENDPOINT");
  if (exporter === "none" || (exporter === "" && endpoint === "")) return { kind: "off" };
  if (exporter !== "" && exporter !== "otlp") {
    return { kind: "refused", why: `OTEL_TRACES_EXPORTER is "${exporter}"; this program knows otlp and none` };
  }
  const protocol = of("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") || of("OTEL_EXPORTER_OTLP_PROTOCOL") || "http/protobuf";
  if (protocol !== "http/protobuf") {
    return { kind: "refused", why: `the OTLP protocol is "${protocol}"; this program speaks http/protobuf` };
  }
  return { kind: "on" };
}

/** The SDK is loaded only where traces are wanted: `undefined`, and nothing of it is in the process. Never rejects. */
export async function openTracing(env: Environment, hub: EventHub, log: Logger): Promise<Tracing | undefined> {
  const wish = tracingWish(env);
  if (wish.kind === "refused") log.warn({ why: wish.why }, "requests are not traced");
  if (wish.kind !== "on") return undefined;
  try {
    const { openOtlp } = await import("./otlp.js");
    return openOtlp(hub, log);
  } catch (error) {
    log.error({ why: (error as Error).message }, "requests are not traced: OpenTelemetry cannot be had");
    return undefined;
  }
}
