import type { Config } from "../config/config.js";
import type { Engine } from "../engine/engine.js";
import type { EventHub } from "../events.js";
import type { Readiness } from "../rules/readiness.js";
import { compileRouter, type Router } from "../rules/route.js";
import type { Tracer } from "../trace.js";
import type { BodyBudget } from "./body.js";
import type { Trust } from "./forward.js";
import { type PolicyDocument, policyDocument } from "./policy-page.js";
import type { Pools } from "./pools.js";
import { pseudonymOf } from "./pseudonym.js";
import type { FastifyRouting } from "./server.js";
import { compileTrust } from "./trust.js";
import type { Tunnels } from "./upgrade.js";
import type { UsualTimes } from "./usual-times.js";

/** What the lanes work with, as long as the process lives. */
export interface LaneParts {
  readonly engine: Engine;
  readonly hub: EventHub;
  readonly pools: Pools;
  readonly tunnels: Tunnels;
  readonly usual: UsualTimes;
  readonly budget: BodyBudget;
  readonly passTo: FastifyRouting;
  readonly readiness: Readiness;
  /** Where tracing is on. */
  readonly tracer?: Tracer | undefined;
}

/** What a reload replaces, all at once. */
export interface InForce {
  readonly config: Config;
  readonly router: Router;
  readonly policy: PolicyDocument;
  readonly isTrusted: Trust;
  readonly pseudonym: string;
}

export function inForceFrom(config: Config): InForce {
  return {
    config,
    router: compileRouter(config.routes),
    policy: policyDocument(config),
    isTrusted: compileTrust(config.server.trustProxy),
    pseudonym: pseudonymOf(config.store),
  };
}
