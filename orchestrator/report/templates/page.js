/* Sorting, filtering, searching, keys, dark and light, and, for a page that a server made, news of a search that runs. */
const root = document.documentElement, main = document.getElementById("main");
const sorted = {}, SHOWN = 20;
let shownSamples = SHOWN, data = {};

function kept(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(name, value);
    return localStorage.getItem(name);
  } catch { return null; }
}

function setTheme(theme) {
  root.dataset.theme = theme;
  drawAll();
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const ownTheme = () => kept("daa-theme") || (prefersDark.matches ? "dark" : "light");

function draw(figure) {
  const chart = CHARTS[figure.dataset.chart];
  const [traces, told] = chart(data);
  figure.classList.toggle("small", told.height < 300);
  Plotly.react(figure, traces, told, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
  figure.dataset.drawn = root.dataset.theme;
}

/* One chart after another, so that the page can be read and used meanwhile. */
function drawNext() {
  const next = main.querySelector(".chart:not([data-drawn])");
  if (!next) return;
  draw(next);
  setTimeout(drawNext);
}

function drawAll() {
  for (const figure of main.querySelectorAll(".chart")) if (figure.dataset.drawn) draw(figure);
}

function sortTable(table, column, direction) {
  sorted[table.id] = { column, direction };
  const heads = [...table.tHead.rows[0].cells], isNumber = heads[column].dataset.kind === "number", body = table.tBodies[0];
  heads.forEach((head, place) => { if (place === column) head.setAttribute("aria-sort", direction); else head.removeAttribute("aria-sort"); });
  const value = (row) => {
    const cell = row.cells[column], text = cell.dataset.value ?? cell.textContent.trim();
    return isNumber ? (text === "" ? null : parseFloat(text.replace(/,/g, ""))) : text.toLowerCase();
  };
  const sign = direction === "ascending" ? 1 : -1;
  const order = (one, other) => {
    if (one === null || other === null || one === "" || other === "") return (one === null || one === "") - (other === null || other === "");
    return sign * (isNumber ? one - other : one.localeCompare(other, undefined, { numeric: true }));
  };
  const rows = [...body.rows].map((row) => [value(row), row]).sort(([one], [other]) => order(one, other));
  body.append(...rows.map(([, row]) => row));
}

function filterTrials() {
  const input = document.getElementById("filter-trials");
  if (!input) return;
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean), rows = [...document.getElementById("trials").tBodies[0].rows];
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    shown += !row.hidden;
  }
  document.getElementById("count-trials").textContent = `${shown} of ${rows.length}`;
}

function searchSamples() {
  const input = document.getElementById("search-samples");
  if (!input) return;
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean), outcome = document.getElementById("pick-outcome").value;
  const all = [...document.querySelectorAll(".sample")];
  const found = all.filter((each) => (!outcome || each.dataset.outcome === outcome) && words.every((word) => each.textContent.toLowerCase().includes(word)));
  const shown = new Set(found.slice(0, shownSamples));
  for (const each of all) each.hidden = !shown.has(each);
  document.getElementById("count-samples").textContent = `${found.length} of ${all.length}`;
  document.getElementById("more-samples").hidden = found.length <= shownSamples;
}

async function copyText(button) {
  const code = document.getElementById(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  } catch {
    getSelection().selectAllChildren(code);
  }
}

function listSections() {
  const nav = document.getElementById("nav");
  nav.replaceChildren(...[...main.querySelectorAll("section")].map((section) => {
    const link = document.createElement("a");
    link.href = `#${section.id}`;
    link.textContent = section.querySelector("h2").textContent;
    return link;
  }));
}

function markSection() {
  const passed = [...main.querySelectorAll("section")].filter((section) => section.getBoundingClientRect().top < innerHeight / 3);
  const here = passed.length ? passed[passed.length - 1].id : "";
  for (const link of document.querySelectorAll("nav a")) link.classList.toggle("here", link.hash === `#${here}`);
}

function stepSection(by) {
  const links = [...document.querySelectorAll("nav a")], here = links.findIndex((link) => link.classList.contains("here"));
  const next = links[Math.max(0, Math.min(links.length - 1, here + by))];
  if (next) document.querySelector(next.hash).scrollIntoView();
}

/* What has just come into the page: read its data, sort and filter as before, draw. */
function enliven() {
  data = JSON.parse(document.getElementById("data").textContent);
  for (const [id, { column, direction }] of Object.entries(sorted)) {
    const table = document.getElementById(id);
    if (table) sortTable(table, column, direction);
  }
  listSections();
  markSection();
  filterTrials();
  searchSamples();
  drawAll();
  drawNext();
}

main.addEventListener("click", (event) => {
  const head = event.target.closest("table.sortable th"), copy = event.target.closest(".copy");
  if (head && head.dataset.kind) {
    const descending = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : head.dataset.kind === "number" && head.textContent !== "#";
    sortTable(head.closest("table"), head.cellIndex, descending ? "descending" : "ascending");
  }
  if (copy) copyText(copy);
  if (event.target.id === "more-samples") { shownSamples += SHOWN; searchSamples(); }
});
main.addEventListener("input", (event) => {
  if (event.target.id === "filter-trials") filterTrials();
  if (event.target.id === "search-samples" || event.target.id === "pick-outcome") { shownSamples = SHOWN; searchSamples(); }
  if (event.target.dataset.redraws) draw(document.getElementById(`chart-${event.target.dataset.redraws}`));
});
document.getElementById("theme").addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  kept("daa-theme", theme);
  setTheme(theme);
});
prefersDark.addEventListener("change", () => setTheme(ownTheme()));
addEventListener("scroll", markSection, { passive: true });
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select, textarea")) { if (event.key === "Escape") event.target.blur(); return; }
  const goTo = (id) => { const input = document.getElementById(id); if (input) { event.preventDefault(); input.focus(); } };
  if (event.key === "/") goTo("filter-trials");
  if (event.key === "s") goTo("search-samples");
  if (event.key === "j") stepSection(1);
  if (event.key === "k") stepSection(-1);
  if (event.key === "t") document.getElementById("theme").click();
});

/* A live page: ask for news, and put new sections in place of the old ones under the reader's hands. */
let version = null;

async function askForNews() {
  const live = document.getElementById("live");
  try {
    const state = await (await fetch("/state", { cache: "no-store" })).json();
    if (state.version !== version) {
      const text = await (await fetch("/content", { cache: "no-store" })).text();
      if (version !== null) replaceContent(text);
      version = state.version;
    }
    live.className = state.error ? "lost" : "fresh";
    live.textContent = state.error || "live";
  } catch {
    live.className = "lost";
    live.textContent = "the server is gone";
  }
  setTimeout(askForNews, 2000);
}

function replaceContent(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").body, focus = document.activeElement, place = scrollY;
  const inside = [...main.querySelectorAll(".scroll[id]")].map((each) => [each.id, each.scrollTop, each.scrollLeft]);
  const values = [...main.querySelectorAll("input, select")].map((each) => [each.id, each.value]);
  const open = [...main.querySelectorAll("details[id][open]")].map((each) => each.id);
  for (const old of main.querySelectorAll(".chart[data-drawn]")) {
    const stand = fresh.querySelector(`#${old.id}`);
    if (stand) stand.replaceWith(old);
  }
  for (const input of main.querySelectorAll("input")) {
    const stand = fresh.querySelector(`#${input.id}`);
    if (stand) stand.replaceWith(input);
  }
  main.replaceChildren(...fresh.childNodes);
  for (const [id, value] of values) { const each = document.getElementById(id); if (each && each.value !== value) each.value = value; }
  for (const each of main.querySelectorAll("select")) if (each.selectedIndex < 0) each.selectedIndex = 0;
  for (const id of open) { const each = document.getElementById(id); if (each) each.open = true; }
  enliven();
  for (const [id, top, left] of inside) { const each = document.getElementById(id); if (each) { each.scrollTop = top; each.scrollLeft = left; } }
  scrollTo(0, place);
  if (focus && focus.id && main.contains(document.getElementById(focus.id))) document.getElementById(focus.id).focus({ preventScroll: true });
}

root.dataset.theme = ownTheme();
enliven();
if (document.body.hasAttribute("data-live")) askForNews();
