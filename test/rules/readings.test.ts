import fc from "fast-check";
import t from "tap";
import { guarded, open, requestOf, routing } from "./requests.js";

/*
 * Decoders of upstreams, written from what their documentation says and without a look at ours. Each gives the path under
 * which its application looks for a handler, in lower case.
 */

const percent = (text: string) =>
  text.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));

function resolved(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") kept.pop();
    else if (segment !== "." && segment !== "") kept.push(segment);
  }
  return `/${kept.join("/")}`;
}

const decoders: Readonly<Record<string, (target: string) => string>> = {
  /** Decodes the target as a whole and divides afterwards. */
  "decode, then split": (target) => resolved(percent(target).split(/[?#]/)[0]!),
  /** A target written out again decoded: the next server's request line ends at the first space or line end. */
  "decode, then read the request line": (target) => resolved(percent(target).split(/[\s?#]/)[0]!),
  "decode twice": (target) => resolved(percent(percent(target.split("?")[0]!)).split(/[?#]/)[0]!),
  "decode three times": (target) => resolved(percent(percent(percent(target.split("?")[0]!))).split(/[?#]/)[0]!),
  /** `PATH_INFO` (RFC 3875 §4.1.5), with what servers do before: white space around it is no part of a meta-variable. */
  CGI: (target) => resolved(percent(target.split("?")[0]!).trim()),
  "white space around segments": (target) =>
    resolved(
      percent(target.split("?")[0]!)
        .split("/")
        .map((segment) => segment.trim())
        .join("/"),
    ),
  /** Decoded, slashes merged, dot segments resolved; and then sent on as it is. */
  "nginx $uri": (target) => resolved(percent(target.split("?")[0]!)).split(/[?\r\n ]/)[0]!,
  /** `(.:format)` after each action. */
  "Rails format suffix": (target) => resolved(percent(target.split("?")[0]!)).replace(/\.[^/.?]+$/, ""),
  "Rails, decoded before": (target) => resolved(percent(target).split("?")[0]!).replace(/\.[^/.?]+$/, ""),
  /** Spring MVC before 5.3: the pattern and `.*`. */
  "Spring suffix pattern": (target) => resolved(percent(tomcat(target))).replace(/(?<=\/[^/.]+)\.[^/]*$/, ""),
  "Tomcat ;params": (target) => resolved(percent(tomcat(target))),
  "params after decoding": (target) => resolved(percent(target.split("?")[0]!).replace(/;[^/]*/g, "")),
  "IIS backslash": (target) => resolved(percent(target.split("?")[0]!).replaceAll("\\", "/")),
  /** Windows ignores dots and spaces at the end of a name. */
  "Windows file names": (target) =>
    resolved(
      percent(target.split("?")[0]!)
        .replaceAll("\\", "/")
        .split("/")
        .map((segment) => (/^\.{1,2}$/.test(segment) ? segment : segment.replace(/[. ]+$/, "")))
        .join("/"),
    ),
};

function tomcat(target: string): string {
  return target.split("?")[0]!.replace(/;[^/]*/g, "");
}

const protectedPath = "/v1/pay";
const reaches = (target: string) =>
  Object.entries(decoders).flatMap(([name, read]) => (read(target).toLowerCase() === protectedPath ? [name] : []));

const routers = [
  routing([guarded(protectedPath), open("/*")]),
  routing([guarded(protectedPath), open("/v1/*"), open("/:a/:b"), open("/:a"), open("/*")]),
  routing([
    guarded(protectedPath),
    open("/v1/:any", { ambiguousPaths: "forward" }),
    open("/*", { ambiguousPaths: "forward" }),
  ]),
];

const pieces = [
  ..."/ %2f %2F %5c %252f %255c // . .. %2e %252e ; ;x %3b %253b;x %20 %2520 %09 %0a %0d%0a %00".split(" "),
  ...".json %2ejson .tar.gz .x %3F %3f %253F %23 %2523 ?x #x x X %2C %C3%A9 HTTP/1.1 %20HTTP/1.1".split(" "),
];
const before = fc.array(fc.constantFrom("", "", "", "%20", "%2520", "/", "./", "x/../", "%2f", "%5c", ";a/"), {
  maxLength: 2,
});
const after = fc.array(fc.constantFrom(...pieces), { maxLength: 4 });
const version = fc.constantFrom("v1", "v1", "V1", "%761", "v%31", "%2576%31", "v1;q", "v1.", "v1%20", "v1%3bx");
const divider = fc.constantFrom("/", "/", "/", "//", "/./", "%2f", "%5C", "%252F", "/;/", "/x/%2e%2e/", "/%20");
const word = fc.constantFrom("pay", "pay", "PAY", "p%61y", "%70%61%79", "p%2561y", "pa%252579");

t.test("property: no unprotected route takes a target that an upstream reads as a protected path", async (t) => {
  const reached = new Set<string>();
  let forwarded = 0;
  fc.assert(
    fc.property(before, version, divider, word, after, (start, first, middle, last, end) => {
      const target = `/${start.join("")}${first}${middle}${last}${end.join("")}`;
      const readers = reaches(target);
      for (const reader of readers) reached.add(reader);
      for (const route of routers) {
        const taken = route(requestOf(target));
        if (!taken.startsWith("open")) continue;
        forwarded++;
        if (readers.length > 0)
          throw new Error(`${JSON.stringify(target)} → ${taken}, and ${readers} reads it as ${protectedPath}`);
      }
    }),
    { numRuns: 10_000 },
  );
  t.same([...reached].sort(), Object.keys(decoders).sort(), "each decoder was led to the protected path");
  t.ok(forwarded > 500, `targets that no decoder reads so are forwarded: ${forwarded}`);
});

t.test("honest targets of an unprotected route are forwarded, whatever they hold", async (t) => {
  const route = routing([guarded(protectedPath), open("/*")]);
  for (const target of [
    "/static/app.3f9c.min.js",
    "/files/my%20report.pdf",
    "/files/a%2Fb%2Fc",
    "/projects/group%2Fname/issues/50%25",
    "/search/c%23",
    "/what%3F",
    "/double//slash",
    "/v1/payments.json",
    "/v1/pay/receipt.pdf",
    "/v1/orders;v=1/x",
    "/caf%C3%A9.html",
    "/.well-known/acme-challenge/a.b",
  ]) {
    t.equal(route(requestOf(target)), "open /*", target);
  }
});

t.test("where no route takes the path itself, a spelling of a protected one is refused as well", async (t) => {
  const route = routing([guarded(protectedPath)]);
  for (const target of ["/v1/pay.json", "/v1/pay%3Fx", "/v1/%20pay", "/v1/pay%20x"]) {
    t.equal(route(requestOf(target)), "request-ambiguous", target);
  }
  t.equal(route(requestOf("/v1/other.json")), "none");
});
