// `@fastify/http-proxy` as its README has it, without a logger: the same stack with no idempotency at all. PORT, UPSTREAM.
import httpProxy from "@fastify/http-proxy";
import fastify from "fastify";

const app = fastify();
await app.register(httpProxy, { upstream: process.env.UPSTREAM });
await app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });
