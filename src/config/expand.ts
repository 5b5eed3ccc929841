import { type Parsed, refuse } from "./parsed.js";

export type Env = Readonly<Record<string, string | undefined>>;

export type Expansion =
  | { readonly ok: true; readonly value: string; readonly expanded: boolean }
  | { readonly ok: false; readonly messages: readonly string[] };

const literal = "${";
const reference = /\$\$\{|\$\{([^}]*)(\}?)/g;
const inside = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

/**
 * `${NAME}`, `${NAME:-default}` (also for an empty NAME, as in a shell), `$${` for a literal `${`. Works on one parsed
 * scalar, in a single pass: what comes from the environment is never looked at again, so it cannot expand or inject.
 */
export function expand(source: string, env: Env): Expansion {
  const messages: string[] = [];
  let expanded = false;
  const value = source.replace(reference, (whole, name: string | undefined, end: string) => {
    expanded = true;
    if (name === undefined) return literal;
    const found =
      end === "" ? refuse(`${whole} is never closed; write $${literal} for a literal ${literal}`) : lookUp(name, env);
    if (found.ok) return found.value;
    messages.push(found.message);
    return "";
  });
  return messages.length > 0 ? { ok: false, messages } : { ok: true, value, expanded };
}

function lookUp(reference: string, env: Env): Parsed<string> {
  const [, name, fallback] = inside.exec(reference) ?? [];
  if (name === undefined) {
    return refuse(`\${${reference}} is not \${NAME} or \${NAME:-default}; write $${literal} for a literal ${literal}`);
  }
  if (fallback?.includes(literal)) return refuse(`the default of \${${name}} may not hold another ${literal}`);
  const value = Object.hasOwn(env, name) ? env[name] : undefined;
  const found = value === "" ? (fallback ?? value) : (value ?? fallback);
  if (found !== undefined) return { ok: true, value: found };
  return refuse(`the environment has no ${name}, and there is no default: set it, or write \${${name}:-default}`);
}
