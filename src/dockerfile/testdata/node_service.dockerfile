FROM node:20 AS deps
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci
FROM deps AS test
COPY . .
RUN npm test
FROM node:20-slim
COPY --from=deps /app/node_modules node_modules
COPY --from=1 /app/dist dist
ENV NODE_ENV production
VOLUME /data
CMD node dist/main.js
