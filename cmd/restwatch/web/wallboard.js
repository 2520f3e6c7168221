// The wallboard: what the newest snapshots say, asked for again whenever an
// event comes and every few seconds, as a feed's status is no event. Names come
// from the platform and are only ever set as text.
'use strict';

const shown = document.getElementById('vdns');
const state = document.getElementById('state');
let ahead = 0; // of the service's clock, in ms
let asked = null;

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

function agentRow(agent) {
  const row = element('tr', '', agent.overdue ? 'overdue' : agent.state);
  row.append(element('td', agent.workNo), element('td', agent.agentName));
  row.append(element('td', agent.overdue ? 'overdue' : agent.state + (agent.certainty === 'inferred' ? '?' : '')));
  const time = element('td', '');
  if (agent.beginAt) time.dataset.since = Date.parse(agent.beginAt);
  row.append(time);
  return row;
}

function vdnSection(v) {
  const section = element('section', '', v.status === 'ok' ? '' : 'stale');
  const title = element('h2', 'VDN ' + v.ccId + ':' + v.vdn);
  title.append(element('span', v.status, 'feed'));
  section.append(title);
  section.append(element('p', v.counts.waiting + ' waiting, ' + v.counts.approved + ' approved, ' + v.counts.resting + ' resting, ' + v.overdue + ' overdue'));
  if (v.status !== 'ok' && v.lastGoodPollAt) section.append(element('p', 'last good poll ' + new Date(v.lastGoodPollAt).toLocaleString(), 'overdue'));
  const table = element('table', '');
  const order = ['resting', 'approved', 'waiting'];
  const agents = (v.agents || []).sort((a, b) =>
    b.overdue - a.overdue || order.indexOf(a.state) - order.indexOf(b.state) || (a.beginAt || '').localeCompare(b.beginAt || ''));
  for (const agent of agents) table.append(agentRow(agent));
  section.append(table);
  return section;
}

function tick() {
  const now = Date.now() + ahead;
  for (const cell of shown.querySelectorAll('[data-since]')) cell.textContent = length(now - Number(cell.dataset.since));
}

async function load() {
  clearTimeout(asked);
  asked = setTimeout(load, 5000);
  try {
    const reply = await fetch('wallboard.json' + location.search);
    if (!reply.ok) throw new Error((await reply.text()).trim());
    const board = await reply.json();
    ahead = Date.parse(board.now) - Date.now();
    shown.replaceChildren(...board.vdns.map(vdnSection));
    state.textContent = board.agentsLeftOut ? 'too many agents to show here: add ?ccid=1&vdn=170 for one VDN' : '';
    tick();
  } catch (error) {
    state.textContent = 'not up to date: ' + error.message;
  }
}

// Many events come together: one look is enough for them.
new EventSource('events').onmessage = () => {
  clearTimeout(asked);
  asked = setTimeout(load, 200);
};
setInterval(tick, 1000);
load();
