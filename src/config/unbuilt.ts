import type { Findings } from "./findings.js";
import type { Settings } from "./schema.js";

/** What the schema knows and the product does not do yet. An entry is removed when its room is built. */
export const unbuilt: readonly { readonly path: string; readonly isUsed: (settings: Settings) => boolean }[] = [
  { path: "store.sentinel", isUsed: ({ store }) => store.type === "redis" && store.sentinel !== undefined },
  { path: "store.cluster", isUsed: ({ store }) => store.type === "redis" && store.cluster !== undefined },
  { path: "store.waitReplicas", isUsed: ({ store }) => store.type === "redis" && store.waitReplicas > 0 },
];

/** Refused, never ignored: who sets one of these relies on it. */
export function refuseUnbuilt(settings: Settings, findings: Findings): void {
  for (const { path, isUsed } of unbuilt) {
    if (isUsed(settings)) findings.mistake(path, "not available yet");
  }
}
