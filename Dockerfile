# Installs without scripts: the only one fetches another Node.js for development, and the image has its own.
FROM node:26-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build
COPY LICENSE ./
COPY config config
# Readable by the image's user, however strict the umask of the checkout was; main.js is executable because the command on PATH is a link to it.
RUN mkdir /app && cp -r dist config package.json LICENSE /app && chmod -R u=rwX,go=rX /app && chmod 755 /app/dist/main.js

FROM node:26-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --omit=dev

FROM node:26-bookworm-slim
LABEL org.opencontainers.image.title="Swivel" \
      org.opencontainers.image.description="TLS-terminating reverse proxy that changes its certificates while it runs" \
      org.opencontainers.image.licenses="Apache-2.0"
# SWIVEL_DEFAULT_*, not SWIVEL_*: environment wins over file, and a mounted configuration file has to win over the image.
# Admin listens on every address, because probes and scrapes come from outside the container.
ENV NODE_ENV=production SWIVEL_DEFAULT_CERTS=/certs SWIVEL_DEFAULT_ADMIN=[::]:9901
WORKDIR /app
RUN ln -s /app/dist/main.js /usr/local/bin/swivel
# Packages change less often than the program, so they are a layer of their own.
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app ./
# By number: Kubernetes cannot tell from a name that it is not root.
USER 1000:1000
EXPOSE 8443 9901
HEALTHCHECK --interval=15s --timeout=5s --start-period=15s CMD ["swivel", "status", "--ready"]
# Exec form, so that Node.js is process 1 and gets the stop signal.
ENTRYPOINT ["swivel"]
