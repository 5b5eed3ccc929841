import { headerName } from "./form.js";
import { choice, either, flag, group, integer, list, text } from "./setting.js";
import { jsonPointer } from "./source.js";
import { statusClass } from "./status.js";

const numbers = { min: 100, max: 599, description: "An HTTP status." };

/** `503`, or `5xx`. */
const status = {
  of: [integer(numbers), text({ form: statusClass, description: "A class of statuses: `5xx`." })],
  description: "An HTTP status, or a class of them: `5xx`.",
};

const when = list({
  default: [],
  description: "Rules by more than the status; the first that fits decides.",
  item: group(
    { description: "One rule. All that it names must fit." },
    {
      status: either({ ...status, absent: "any", description: "A status or a class of them, such as `5xx`." }),
      header: text({ form: headerName, description: "A field of the answer's header or trailers." }),
      body: text({ form: jsonPointer, description: "A JSON pointer into the answer's body, instead of `header`." }),
      equals: either({
        of: [
          text({ minLength: 0, description: "A text." }),
          flag({ description: "A word." }),
          integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER, description: "A number." }),
        ],
        absent: "any value",
        description: "What is there must be this; of JSON, a number or a word by its text.",
      }),
      present: flag({ absent: "true", description: "`false`: the field, or the place in the body, must be absent." }),
      as: choice({
        required: true,
        values: ["release", "unknown", "final"],
        description: "What such an answer is taken for.",
      }),
    },
  ),
});

export const outcomes = group(
  {
    description:
      "What an answer of the upstream says. Everything not listed here is final: stored, and replayed. A list that is written goes before the default of the other one, and a status before a class.",
  },
  {
    when,
    release: list({
      default: [307, 308, 401, 403, 407, 408, 421, 425, 429, 521, 523, 525, 526, 530],
      foldCase: true,
      item: either(status),
      description: "Not done here: the next retry runs again.",
    }),
    unknown: list({
      default: [460, 499, 502, 503, 504, 520, 522, 524, 527, 561, 598, 599],
      foldCase: true,
      item: either(status),
      description: "Perhaps done: the record is in doubt.",
    }),
  },
);
