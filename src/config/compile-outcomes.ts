import type { OutcomeRule, Outcomes } from "../model.js";
import { usualValue } from "./fill.js";
import { valid } from "./parsed.js";
import type { RouteSettings } from "./schema.js";
import { outcomes as shape } from "./schema-outcomes.js";
import { parsePointer } from "./source.js";
import { type StatusSetting, statusesOf, statusSet } from "./status.js";

type OutcomeSettings = NonNullable<RouteSettings["idempotency"]>["outcomes"];
type ListName = "release" | "unknown";

/** A list as it is by default gives way to what the other one names; else a status goes before a class. */
export function compileOutcomes({ when, release, unknown }: OutcomeSettings): Outcomes {
  return {
    when: when.map(compileRule),
    release: effective(release, isUsual("release", release), unknown, isUsual("unknown", unknown)),
    unknown: effective(unknown, isUsual("unknown", unknown), release, isUsual("release", release)),
  };
}

function effective(
  mine: readonly StatusSetting[],
  isMineUsual: boolean,
  theirs: readonly StatusSetting[],
  areTheirsUsual: boolean,
): ReadonlySet<number> {
  const stronger = isMineUsual === areTheirsUsual ? exact(theirs) : isMineUsual ? theirs : [];
  const taken = statusSet(stronger);
  return new Set(mine.flatMap(statusesOf).filter((status) => !taken.has(status)));
}

function exact(written: readonly StatusSetting[]): readonly StatusSetting[] {
  return written.filter((status) => typeof status === "number");
}

/** Whether the list is the one that stands when none is written. */
export function isUsual(name: ListName, written: readonly StatusSetting[]): boolean {
  const usual = usualValue((shape as unknown as { fields: Record<ListName, never> }).fields[name], name);
  return JSON.stringify(written) === JSON.stringify(usual);
}

function compileRule({ status, header, body, equals, present, as }: OutcomeSettings["when"][number]): OutcomeRule {
  const at =
    header !== undefined
      ? { header: header.toLowerCase() }
      : body !== undefined
        ? { body: valid(parsePointer(body)) }
        : null;
  return {
    status: status === undefined ? null : statusSet([status]),
    at,
    equals: equals === undefined ? null : String(equals),
    isPresent: present ?? true,
    verdict: as,
  };
}
