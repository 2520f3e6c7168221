// The wallboard: what the newest snapshots say, asked for again and again. It
// does not listen to the events: a browser keeps only six connections open to a
// service, and where much happens every event would be a reason to ask. Names
// come from the platform and are only ever set as text.
'use strict';

const every = 1000; // ms from one answer to the next question
const patience = 10000; // ms for an answer
const shown = document.getElementById('vdns');
const state = document.getElementById('state');
let ahead = 0; // of the service's clock, in ms
let good = null; // when the last good answer came
let asking = false;
let next = null;

function element(name, text, kind) {
  const e = document.createElement(name);
  e.textContent = text;
  if (kind) e.className = kind;
  return e;
}

function length(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = n => String(n).padStart(2, '0');
  return (s >= 3600 ? Math.floor(s / 3600) + ':' + two(Math.floor(s / 60) % 60) : Math.floor(s / 60)) + ':' + two(s % 60);
}

function heading(text) {
  const cell = element('th', text);
  cell.scope = 'col';
  return cell;
}

function agentRow(agent) {
  const row = element('tr', '', agent.overdue ? 'overdue' : agent.state);
  const number = element('th', agent.workNo);
  number.scope = 'row';
  const name = element('td', '');
  name.append(element('bdi', agent.agentName));
  name.title = agent.agentName; // whole
  const time = element('td', '');
  if (agent.beginAt) time.dataset.since = Date.parse(agent.beginAt);
  row.append(number, name, element('td', (agent.overdue ? 'overdue' : agent.state) + (agent.certainty === 'inferred' ? '?' : '')), time);
  return row;
}

function agentTable(agents) {
  const order = ['resting', 'approved', 'waiting'];
  agents.sort((a, b) =>
    b.overdue - a.overdue || order.indexOf(a.state) - order.indexOf(b.state) || (a.beginAt || '').localeCompare(b.beginAt || ''));
  const table = element('table', '');
  const head = table.createTHead().insertRow();
  head.append(...['Agent', 'Name', 'State', 'For'].map(heading));
  table.createTBody().append(...agents.map(agentRow));
  return table;
}

// A feed that nobody repeats is no better than one that is down.
function doubtful(v) {
  return v.silent || v.status !== 'ok';
}

// What may change of a VDN; its title stays, and with it the focus.
function vdnBody(v) {
  const body = element('div', '');
  if (doubtful(v)) {
    body.append(element('p', v.lastGoodPollAt ? 'last good poll ' + new Date(v.lastGoodPollAt).toLocaleString() : 'no good poll yet', 'doubt'));
  }
  if (v.observedAt) {
    body.append(element('p', v.counts.waiting + ' waiting, ' + v.counts.approved + ' approved, ' + v.counts.resting + ' resting, ' + v.overdue + ' overdue'));
  }
  if (v.agents) body.append(agentTable(v.agents));
  return body;
}

function vdnSection(v) {
  const section = element('section', '');
  const title = element('h2', '');
  const link = element('a', 'VDN ' + v.ccId + ':' + v.vdn);
  link.href = '?ccid=' + v.ccId + '&vdn=' + v.vdn;
  title.append(link, element('span', '', 'feed'));
  section.append(title, element('div', ''));
  return section;
}

// Only what has changed is made anew.
function show(vdns) {
  vdns.forEach((v, i) => {
    const id = v.ccId + ':' + v.vdn;
    const told = JSON.stringify(v);
    let section = shown.children[i];
    if (!section || section.id !== id) {
      shown.insertBefore(vdnSection(v), section || null).id = id;
      section = shown.children[i];
    }
    if (section.told === told) return;
    section.told = told;
    section.className = doubtful(v) ? 'stale' : '';
    section.querySelector('.feed').textContent = v.silent ? 'silent' : v.status || 'unknown';
    section.lastChild.replaceWith(vdnBody(v));
  });
  while (shown.children.length > vdns.length) shown.lastChild.remove();
}

function tick() {
  const now = Date.now() + ahead;
  for (const cell of shown.querySelectorAll('[data-since]')) cell.textContent = length(now - Number(cell.dataset.since));
}

// A reader of the page is told once, not at every question.
function say(text, wrong) {
  if (state.textContent !== text) state.textContent = text;
  state.className = wrong ? 'doubt' : '';
  shown.className = wrong ? 'old' : '';
}

async function ask() {
  const reply = await fetch('wallboard.json' + location.search, { signal: AbortSignal.timeout(patience) })
    .catch(() => { throw new Error('restwatch does not answer'); });
  if (!reply.ok) throw new Error((await reply.text()).trim());
  const board = await reply.json();
  // Clocks that nearly agree are left alone, or the times would jump.
  const by = Date.parse(board.now) - Date.now();
  if (Math.abs(by - ahead) > 2000) ahead = by;
  show(board.vdns);
  tick();
  good = Date.now();
  say(board.agentsLeftOut ? 'too many agents to show here: choose a VDN' : board.vdns.length ? '' : 'no VDN to show', false);
}

async function load() {
  if (asking) return;
  asking = true;
  clearTimeout(next);
  try {
    await ask();
  } catch (error) {
    say((good ? 'not up to date since ' + new Date(good).toLocaleTimeString() + ': ' : '') + error.message, true);
  }
  asking = false;
  next = setTimeout(load, every);
}

// A browser hardly runs a page that nobody sees.
document.addEventListener('visibilitychange', load);
setInterval(tick, 1000);
load();
