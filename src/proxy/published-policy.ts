import type { Config } from "../config/config.js";
import type { ProblemCode } from "../model.js";
import { problems } from "../problem.js";
import { durationText, matchView, policyView } from "../rules/policy-view.js";
import { problemMeanings } from "./problem-meanings.js";

export type PublishedPolicy = ReturnType<typeof publishedPolicy>;

/** Chosen member by member: neither an upstream nor a probe has an address here. */
export function publishedPolicy({ routes, server, problems: types }: Config) {
  return {
    routes: routes.flatMap((route) =>
      route.policy === null
        ? []
        : {
            name: route.name,
            ...matchView(route),
            ...policyView(route.policy),
            retentionText: durationText(route.policy.retentionMs),
            maxBodyBytes: server.limits.requestBodyBytes,
          },
    ),
    problems: (Object.keys(problems) as ProblemCode[]).map((code) => ({
      code,
      type: types.types[code] ?? types.typeBase + code,
      status: problems[code].status,
      title: problems[code].title,
      retryable: problems[code].retryable,
      meaning: problemMeanings[code],
    })),
  };
}
