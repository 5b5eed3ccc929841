# For a release, give both by digest: --build-arg NODE_IMAGE=node:24-bookworm-slim@sha256:…
ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY scripts ./scripts
COPY src ./src
# Installed anew rather than pruned: pruning leaves some of what it should not.
RUN npm run build && rm -rf node_modules && npm ci --omit=dev --no-audit --no-fund && mkdir /records

FROM ${NODE_IMAGE}
ARG VERSION=0.0.0-dev
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="idempotency-gateway" \
      org.opencontainers.image.description="A reverse proxy that makes unsafe HTTP requests safe to retry" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
ENV NODE_ENV=production

# Owned by root: the process can change nothing of itself, whatever the file system's mount says.
COPY --from=build /app/package.json /app/
COPY --from=build /app/node_modules /app/node_modules
COPY --from=build /app/dist /app/dist
COPY config /app/config

# ./data, the embedded store's default, is below it: mount a volume here, or give the configuration another path.
COPY --from=build --chown=65532:65532 /records /var/lib/idempotency-gateway
WORKDIR /var/lib/idempotency-gateway

# For those who come in by exec: kubectl exec … -- idempotency-gateway records list
RUN ln -s /app/dist/main.js /usr/local/bin/idempotency-gateway

# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8080 9090
# Asks the admin port at its default address; ADMIN_URL names another.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "/app/dist/main.js", "healthcheck"]
# No shell between: node is pid 1 and hears SIGTERM itself.
ENTRYPOINT ["node", "/app/dist/main.js"]
CMD ["serve", "--config", "/etc/idempotency-gateway/gateway.yaml"]
