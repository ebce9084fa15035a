
'use strict';
// Whatever comes from the API may have been written by somebody hostile (hosts, ids, addresses). It becomes text, by
// textContent, and never markup, an attribute that acts, or a part of an address that is not encoded.

const EACH = 1000, ROUTES_EACH = 2, KEPT = 120, PAGE = 50;
const TOKEN = 'berth-proxy-token';
const find = id => document.getElementById(id);

// --- the API ---

class Refused extends Error {}
const token = () => sessionStorage.getItem(TOKEN);

async function ask(path) {
  const headers = token() ? {Authorization: 'Bearer ' + token()} : {};
  const answer = await fetch(path, {headers, cache: 'no-store', signal: AbortSignal.timeout(10000)});
  if (answer.status === 401) throw new Refused();
  if (!answer.ok) throw new Error((await answer.json()).message);
  return answer;
}

// Prometheus' text, as this proxy writes it: {"name{labels}": value}.
function readMetrics(text) {
  const values = {};
  for (const line of text.split('\n')) {
    const blank = line.lastIndexOf(' ');
    if (blank > 0 && line[0] !== '#') values[line.slice(0, blank)] = Number(line.slice(blank + 1));
  }
  return values;
}

// --- numbers ---

const count = value => Math.round(value).toLocaleString('en');
const rate = value => value === null ? '–' : value >= 100 ? count(value) : value >= 10 ? value.toFixed(1) : value === 0 ? '0' : value.toFixed(2);
function time(seconds) {
  if (seconds === null) return '–';
  if (seconds >= 1) return seconds.toFixed(2) + ' s';
  const milliseconds = seconds * 1000;
  return (milliseconds >= 100 ? milliseconds.toFixed(0) : milliseconds >= 10 ? milliseconds.toFixed(1) : milliseconds.toFixed(2)) + ' ms';
}
const bytes = value => {
  const units = ['B', 'kB', 'MB', 'GB'];
  let unit = 0;
  for (; value >= 1000 && unit < 3; ++unit) value /= 1000;
  return (value >= 100 || unit === 0 ? value.toFixed(0) : value.toFixed(1)) + ' ' + units[unit] + '/s';
};

const DURATION = 'berth_proxy_request_duration_seconds_bucket{le="';
const bounds = values => Object.keys(values).filter(name => name.startsWith(DURATION))
  .map(name => ({name, upto: name.includes('+Inf') ? Infinity : Number(name.slice(DURATION.length, -2))}))
  .sort((one, other) => one.upto - other.upto);

// The time within which `part` of the requests between two looks ended, straight between a bucket's bounds.
function quantile(before, now, part) {
  const counts = bounds(now).map(({name, upto}) => ({upto, count: now[name] - (before[name] || 0)}));
  const all = counts.length ? counts[counts.length - 1].count : 0;
  if (all <= 0) return null;
  let under = {upto: 0, count: 0};
  for (const bucket of counts) {
    if (bucket.count >= part * all) {
      if (bucket.upto === Infinity) return under.upto;
      const within = bucket.count - under.count;
      return under.upto + (bucket.upto - under.upto) * (within ? (part * all - under.count) / within : 1);
    }
    under = bucket;
  }
  return under.upto;
}

// --- charts ---

const make = (name, className, text) => {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
const draw = (name, attributes) => {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

class Chart {
  constructor(id, lines, show, least) {
    Object.assign(this, {lines, show, least, history: []});
    const place = find(id);
    this.big = place.appendChild(make('div', 'big'));
    const chart = place.appendChild(make('div', 'chart'));
    const picture = draw('svg', {viewBox: '0 0 ' + (KEPT - 1) + ' 100', preserveAspectRatio: 'none', 'aria-hidden': 'true'});
    for (const y of [0, 100]) picture.append(draw('line', {x1: 0, x2: KEPT - 1, y1: y, y2: y}));
    this.paths = lines.map(line => picture.appendChild(draw('path', {class: line})));
    chart.append(picture);
    this.top = chart.appendChild(make('span'));
    this.foot = place.appendChild(make('div', 'foot'));
  }
  say(parts, foot) { // [text, class] each; the first is the large one
    this.big.replaceChildren(...parts.map(([text, kind], index) => make(index ? 'i' : 'b', kind || (index ? 'plain' : ''), text)));
    this.foot.textContent = foot;
  }
  add(values) {
    this.history.push(values);
    if (this.history.length > KEPT) this.history.shift();
    const most = Math.max(this.least, ...this.history.flat().filter(value => value !== null));
    this.top.textContent = this.show(most);
    const start = KEPT - this.history.length;
    this.paths.forEach((path, line) => {
      let pen = 'M', drawn = '';
      this.history.forEach((point, index) => {
        if (point[line] === null) { pen = 'M'; return; }
        const at = (start + index) + ' ' + (100 - 100 * point[line] / most).toFixed(2);
        const alone = pen === 'M' && (index + 1 === this.history.length || this.history[index + 1][line] === null);
        drawn += pen + at + (alone ? 'h.4' : '');
        pen = 'L';
      });
      path.setAttribute('d', drawn);
    });
  }
}

const charts = {
  requests: new Chart('requests', ['one'], value => rate(value) + '/s', 1),
  errors: new Chart('errors', ['two', 'three', 'four'], value => rate(value) + '/s', 1),
  latency: new Chart('latency', ['one', 'two'], time, 0.001),
  connections: new Chart('connections', ['one'], count, 1),
};

let before = null;
function showMetrics(now) {
  now.at = performance.now();
  const all = values => [1, 2, 3, 4, 5].reduce((sum, digit) => sum + values[`berth_proxy_requests_total{status="${digit}xx"}`], values['berth_proxy_requests_total{status="cut"}']);
  // Another program counts from nothing.
  if (!before || all(now) < all(before)) { before = now; return; }
  const seconds = (now.at - before.at) / 1000;
  const per = name => Math.max(0, (now[name] - before[name]) / seconds);
  const status = name => per(`berth_proxy_requests_total{status="${name}"}`);
  const requests = (all(now) - all(before)) / seconds;
  charts.requests.add([requests]);
  charts.requests.say([[rate(requests) + '/s']], `${count(all(now))} in all · ${bytes(per('berth_proxy_received_bytes_total'))} in, ${bytes(per('berth_proxy_sent_bytes_total'))} out`);
  const errors = [status('4xx'), status('5xx'), status('cut')];
  charts.errors.add(errors);
  charts.errors.say([[rate(errors[0] + errors[1] + errors[2]) + '/s'], [rate(errors[0]) + ' 4xx', 'two'], [rate(errors[1]) + ' 5xx', 'three'], [rate(errors[2]) + ' cut', 'four']],
    `${rate(per('berth_proxy_no_route_total'))}/s without a route · ${rate(per('berth_proxy_retries_total'))}/s tried again`);
  const times = [quantile(before, now, 0.5), quantile(before, now, 0.99)];
  charts.latency.add(times);
  charts.latency.say([[time(times[0])], ['median', 'one'], [time(times[1]) + ' p99', 'two']], 'from head to end');
  const open = now.berth_proxy_open_connections;
  charts.connections.add([open]);
  charts.connections.say([[count(open)], ['open']], `${rate(per('berth_proxy_connections_total'))}/s new · ${rate(per('berth_proxy_backend_failures_total'))}/s failures of backends`);
  before = now;
}

// --- routes and backends ---

const view = {pages: [''], next: null, chosen: null, routes: [], asked: 0};
const seen = {routes: new Map(), backends: new Map()};

// Requests each second since this was last looked at; null the first time.
function since(known, name, requests, fresh) {
  const was = known.get(name), now = {requests, at: performance.now()};
  fresh.set(name, now);
  return was && requests >= was.requests ? (requests - was.requests) * 1000 / (now.at - was.at) : null;
}

const HIDDEN = new Set(['host', 'source', 'backends', 'id']);
function options(route) {
  return Object.entries(route).filter(([name, value]) => !HIDDEN.has(name) && value !== false && value !== null)
    .map(([name, value]) => typeof value === 'string' || typeof value === 'number' ? name + '=' + value : value.path ? name + '=' + value.path : name).join(', ');
}

// Cells are [text, class]. Rows stay where they are, so that a focus and a selection do.
function fill(table, rows, first) {
  const body = find(table).tBodies[0];
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, index) => {
    let row = body.rows[index];
    if (!row) {
      row = body.insertRow();
      cells.forEach(() => row.insertCell());
      if (first) row.cells[0].append(first());
    }
    row.className = cells.chosen ? 'chosen' : '';
    cells.forEach(([text, kind], at) => {
      const cell = row.cells[at];
      const holder = cell.firstElementChild || cell;
      if (holder.textContent !== text) holder.textContent = holder.title = text;
      if (cell.className !== (kind || '')) cell.className = kind || '';
    });
  });
}
const number = (value, kind) => [count(value), 'number ' + (kind || '') + (value === 0 ? ' zero' : '')];
const perSecond = value => [rate(value), 'number' + (value ? '' : ' zero')];

function showRoutes(page) {
  view.routes = page.routes;
  view.next = page.next === undefined ? null : page.next;
  const fresh = new Map();
  fill('routes', page.routes.map(route => {
    const backends = route.backends || [];
    const sum = name => backends.reduce((all, one) => all + one[name], 0);
    const alive = backends.filter(one => one.alive).length;
    const cells = [
      [route.host], [route.source, 'wide'],
      [alive + '/' + backends.length, 'number ' + (alive === backends.length ? 'alive' : alive ? 'some' : 'bad')],
      number(sum('in_flight'), 'wide'), perSecond(since(seen.routes, route.host, sum('requests'), fresh)), number(sum('requests'), 'wide'),
      number(sum('failures'), 'wide'), [options(route), 'options wide'],
    ];
    cells.chosen = route.host === view.chosen;
    return cells;
  }), hostButton);
  seen.routes = fresh;
  const before = (view.pages.length - 1) * PAGE, here = page.routes.length;
  find('range').textContent = here ? `${count(before + 1)}–${count(before + here)} of ${count(page.matching)}` : '';
  find('back').disabled = view.pages.length === 1;
  find('on').disabled = view.next === null;
  find('none').hidden = here > 0;
  find('none').textContent = page.all ? `None of the ${count(page.all)} routes is like that.` : 'There are no routes.';
  showBackends();
}

function hostButton() {
  const button = make('button');
  button.type = 'button';
  button.addEventListener('click', () => {
    view.chosen = view.chosen === button.textContent ? null : button.textContent;
    showChosen();
  });
  return button;
}

function showChosen() {
  for (const row of find('routes').tBodies[0].rows) row.className = row.cells[0].textContent === view.chosen ? 'chosen' : '';
  showBackends();
}

let shown = new Map(); // rates of the backends, by address, as of the last answer
function showBackends() {
  const here = view.routes.filter(route => view.chosen === null || route.host === view.chosen);
  const all = new Map();
  for (const route of here) for (const one of route.backends || []) all.set(one.url, one);
  const sorted = [...all.values()].sort((one, other) => one.alive - other.alive || other.in_flight - one.in_flight || (one.url < other.url ? -1 : 1));
  find('whose').textContent = view.chosen === null ? `of the routes on this page: ${count(sorted.length)}` : 'of ' + view.chosen;
  find('whole').hidden = view.chosen === null;
  fill('backends', sorted.map(one => [
    [one.url], one.alive ? ['alive', 'alive'] : ['dead', 'bad'], number(one.in_flight, 'wide'), perSecond(shown.get(one.url) ?? null),
    number(one.requests, 'wide'), number(one.failures, 'wide'),
  ]));
}

function countBackends(routes) {
  const fresh = new Map();
  shown = new Map();
  for (const route of routes) for (const one of route.backends || [])
    if (!shown.has(one.url)) shown.set(one.url, since(seen.backends, one.url, one.requests, fresh));
  seen.backends = fresh;
}

async function lookAtRoutes() {
  const number = ++view.asked;
  const query = new URLSearchParams({limit: PAGE, after: view.pages[view.pages.length - 1]});
  if (find('filter').value.trim()) query.set('contains', find('filter').value.trim());
  if (find('dead').checked) query.set('dead', 'true');
  const page = await (await ask('/v1/routes?' + query)).json();
  if (number !== view.asked) return; // meanwhile something else was asked for
  countBackends(page.routes);
  showRoutes(page);
}

// --- what goes on ---

let timer = null, round = 0;
function say(kind, text) {
  find('state').className = kind;
  find('state').textContent = text;
}

function wantToken(wrong) {
  clearTimeout(timer);
  sessionStorage.removeItem(TOKEN);
  before = null;
  document.querySelector('main').hidden = find('forget').hidden = true;
  find('ask').hidden = false;
  find('wrong').hidden = !wrong;
  say('', 'waiting for the token');
  find('token').focus();
}

async function guarded(what) {
  try {
    await what();
    document.querySelector('main').hidden = false;
    find('forget').hidden = !token();
    say('well', 'live');
  } catch (error) {
    if (error instanceof Refused) return wantToken(token() !== null);
    say('ill', error instanceof TypeError || error.name === 'TimeoutError' ? 'the proxy cannot be reached' : error.message);
  }
}

async function look() {
  clearTimeout(timer);
  if (document.hidden) return; // until somebody looks
  await guarded(async () => {
    showMetrics(readMetrics(await (await ask('/metrics')).text()));
    if (round++ % ROUTES_EACH === 0) await lookAtRoutes();
  });
  if (find('ask').hidden) timer = setTimeout(look, EACH);
}

function turnTo(pages) {
  view.pages = pages;
  guarded(lookAtRoutes);
}
let typing = null;
find('filter').addEventListener('input', () => {
  clearTimeout(typing);
  typing = setTimeout(() => turnTo(['']), 150);
});
find('dead').addEventListener('change', () => turnTo(['']));
find('on').addEventListener('click', () => { if (view.next !== null) turnTo([...view.pages, view.next]); });
find('back').addEventListener('click', () => { if (view.pages.length > 1) turnTo(view.pages.slice(0, -1)); });
find('whole').addEventListener('click', () => { view.chosen = null; showChosen(); });
find('forget').addEventListener('click', () => wantToken(false));
find('ask').addEventListener('submit', event => {
  event.preventDefault();
  if (!find('token').value) return;
  sessionStorage.setItem(TOKEN, find('token').value.trim());
  find('token').value = '';
  find('ask').hidden = true;
  round = 0;
  look();
});
document.addEventListener('visibilitychange', () => { if (!document.hidden && find('ask').hidden) look(); });
look();
