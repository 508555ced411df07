// The page: three games behind tabs, and what they share with the server.
import { startFinding } from "./find.js";
import { startOwn } from "./own.js";
import { startTrials } from "./which.js";

const error = document.getElementById("error");

export async function ask(name, message = {}) {
  const reply = await fetch(`api/${name}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(message),
  }).catch(() => null);
  const said = await reply?.json().catch(() => null);
  const wrong = !said ? "The server does not answer: is it still running?" : said.error;
  error.hidden = !wrong;
  error.textContent = wrong ?? "";
  if (wrong) throw new Error(wrong);
  return said;
}

// Arrow keys move the focus among a container's buttons, to the nearest in that direction; only one is a tab stop.
export function moveByArrows(container) {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const middle = (box) => [box.left + box.width / 2, box.top + box.height / 2];
  const focus = (button) => {
    for (const one of container.querySelectorAll("[tabindex='0']")) one.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
  };
  container.addEventListener("keydown", (event) => {
    const way = ways[event.key];
    const here = event.target.closest("button");
    if (!way || !here) return;
    event.preventDefault();
    const [x, y] = middle(here.getBoundingClientRect());
    let nearest = null, least = Infinity;
    for (const button of container.querySelectorAll("button:not(:disabled)")) {
      const [right, down] = middle(button.getBoundingClientRect());
      const along = (right - x) * way[0] + (down - y) * way[1];
      const across = Math.abs((right - x) * way[1]) + Math.abs((down - y) * way[0]);
      if (along > 0.5 && along + 2 * across < least) [nearest, least] = [button, along + 2 * across];
    }
    if (nearest) focus(nearest);
  });
  container.addEventListener("focusin", (event) => {
    if (event.target.tabIndex !== 0) focus(event.target);
  });
}

// Rows of a table; the first of each is its heading.
export function makeTable(caption, heads, rows) {
  const table = document.createElement("table");
  table.createCaption().textContent = caption;
  const add = (row, kind, content, scope) => {
    const cell = document.createElement(kind);
    if (scope) cell.scope = scope;
    cell.append(content);
    row.append(cell);
  };
  const head = table.createTHead().insertRow();
  for (const one of heads) add(head, "th", one, "col");
  const body = table.createTBody();
  for (const [first, ...others] of rows) {
    const row = body.insertRow();
    add(row, "th", first, "row");
    for (const one of others) add(row, "td", one);
  }
  return table;
}

// A name with the mark that its answers have elsewhere.
export function named(who, kind) {
  const span = document.createElement("span");
  span.className = `who ${kind}`;
  span.textContent = who;
  return span;
}

export const kindOf = (place) => ["first", "second"][place] ?? "other";

function openTab(tab) {
  for (const one of document.querySelectorAll("[role=tab]")) {
    const chosen = one === tab;
    one.setAttribute("aria-selected", chosen);
    one.tabIndex = chosen ? 0 : -1;
    document.getElementById(one.getAttribute("aria-controls")).hidden = !chosen;
  }
}

async function start() {
  const tabs = document.querySelector("[role=tablist]");
  tabs.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) openTab(tab);
  });
  moveByArrows(tabs);
  const about = await ask("describe");
  startTrials(about);
  startOwn(about);
  await startFinding(about);
}

start();
