import * as bodies from "./bodies.mjs";
import * as duplicates from "./duplicates.mjs";
import * as keys from "./keys.mjs";
import * as routes from "./routes.mjs";
import * as workers from "./workers.mjs";

/** Each has `run`, which measures, and `tables`, which shows what was measured. */
export const scaleParts = { duplicates, keys, bodies, workers, routes };
