// SPDX-License-Identifier: Apache-2.0
const express = require('express');
const kebabCase = require('lodash/kebabCase');
const { getDaysInYear } = require('date-fns');

const app = express();
app.get('/health', (request, response) => response.send('fine'));
app.get('/days', (request, response) => {
  const year = new Date(Number(request.query.year), 0, 1);
  response.json({ in: kebabCase(request.query.name), days: getDaysInYear(year) });
});
const server = app.listen(Number(process.env.PORT));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
