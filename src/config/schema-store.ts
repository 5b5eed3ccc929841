import { duration, flag, group, integer, list, text, variants } from "./setting.js";
import { hostPort, redisUrl } from "./url-form.js";

const sentinel = group(
  {
    description:
      "Find the primary through Redis Sentinel; of `url` only user, password, database and TLS are used, TLS for the sentinels too.",
    optional: true,
  },
  {
    master: text({ required: true, description: "The name under which the sentinels know the primary." }),
    nodes: list({
      required: true,
      minItems: 1,
      item: text({ form: hostPort, description: "host:port" }),
      description: "The sentinels, as `host:port`.",
    }),
    user: text({ default: "", minLength: 0, description: "The user the sentinels themselves ask for. Empty: none." }),
    password: text({
      default: "",
      minLength: 0,
      secret: true,
      description: "The password the sentinels themselves ask for, or `file:PATH` to read it from. Empty: none.",
    }),
  },
);

const cluster = group(
  { description: "Redis Cluster; of `url` only user, password and TLS are used.", optional: true },
  {
    nodes: list({
      required: true,
      minItems: 1,
      item: text({ form: hostPort, description: "host:port" }),
      description: "Some nodes of the cluster, as `host:port`; the others are found through them.",
    }),
  },
);

const locks = group(
  { description: "Redlock: a majority of independent nodes must grant the lock as well." },
  {
    nodes: list({
      default: [],
      item: text({ form: redisUrl, secret: true, description: "A Redis URL, or `file:PATH` to read it from." }),
      description: "URLs of an odd number of Redis nodes that share nothing with each other. Empty: one Redis decides.",
    }),
  },
);

export const store = variants({
  description: "Where records live.",
  key: "type",
  keyDescription: "`embedded`: on this host's disk, for every worker of it. `redis`: for many hosts.",
  usual: "embedded",
  variants: {
    embedded: group(
      { description: "Durable, on one host: a claim is on disk before anything is sent upstream." },
      {
        path: text({
          default: "./data",
          description:
            "The folder of the records, made when it is not there. Relative to the configuration file's folder.",
        }),
      },
    ),
    redis: group(
      { description: "One Redis for any number of gateways." },
      {
        url: text({
          default: "redis://localhost:6379/0",
          form: redisUrl,
          secret: true,
          description:
            "`redis://` or, over TLS, `rediss://`, with user, password and database. `file:PATH` reads it from a file.",
        }),
        sentinel,
        cluster,
        keyPrefix: text({ default: "ig:", maxLength: 64, description: "What every key in Redis begins with." }),
        commandTimeout: duration({
          default: "500ms",
          min: "10ms",
          max: "1m",
          description: "How long Redis may take to answer before a route does what its `storeUnavailable` says.",
        }),
        waitReplicas: integer({
          default: 0,
          min: 0,
          max: 16,
          description:
            "How many replicas must confirm a claim before anything is sent upstream. When fewer do within `commandTimeout`, the claim is undone and the store counts as unavailable.",
        }),
        requireNoEviction: flag({
          default: true,
          description: "Refuse to start on a Redis that may evict records when its memory is full.",
        }),
        locks,
      },
    ),
  },
});
