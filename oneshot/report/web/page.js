"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const png = (code) => `url(data:image/png;base64,${code})`;

// make("p", {class: "note"}, "text", child): an element with attributes and children.
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "circle", "text", "g", "polygon", "rect"].includes(tag);
  const one = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  one.append(...children);
  return one;
}

function choice(label, options, onchange) {
  const select = make("select", {}, ...Object.entries(options).map(([value, text]) => make("option", {value}, text)));
  select.onchange = onchange;
  return [make("label", {}, label, select), select];
}

// ------------------------------------------------------------------ where figures come from
function describe(figure) {
  const origin = data.origins[figure.origin] ?? {title: "", facts: [], command: ""};
  const facts = [...(figure.what ? [["figure", `${figure.what}: ${figure.value}`]] : []),
    ...(figure.n ? [["n", figure.n.toLocaleString("en")]] : []), ...origin.facts];
  const parts = [make("h3", {}, origin.title),
    make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]))];
  if (origin.command) parts.push(make("p", {class: "note"}, "Computed again by"), make("pre", {}, origin.command));
  return parts;
}
function explain(figures) {
  find("origin-body").replaceChildren(...figures.flatMap(describe));
  find("origin").showModal();
}
for (const one of document.querySelectorAll("[data-cell]")) one.onclick = () => explain(data.cells[one.dataset.cell]);
for (const origin of data.runs) {
  const one = make("button", {}, data.origins[origin].title);
  one.onclick = () => explain([{origin}]);
  find("run-list").append(make("li", {}, one));
}

// ------------------------------------------------------------------ charts
function mark(kind, x, y, colour) {
  if (kind === "published")
    return make("path", {d: `M${x} ${y - 7}l2 5 5 .4-4 3.4 1.3 5.2-4.3-3-4.3 3 1.3-5.2-4-3.4 5-.4z`, fill: colour, stroke: "var(--paper)"});
  return kind === "recorded" ? make("rect", {x: x - 3, y: y - 3, width: 6, height: 6, fill: colour})
    : make("circle", {cx: x, cy: y, r: 3, fill: colour});
}
const short = (x) => x >= 1e6 ? `${x / 1e6}M` : x >= 1e3 ? `${x / 1e3}k` : String(x);

function drawChart(box) {
  const chart = data[box.dataset.chart];
  const [label, select] = choice("show", Object.fromEntries(Object.keys(chart.views).map((name) => [name, name])), enter);
  const plot = make("div", {class: "plot", tabindex: "0", role: "group", "aria-label": `${box.dataset.title}. Arrow keys move along lines, Enter opens the origin.`});
  const tip = make("div", {class: "tip", hidden: ""}), said = make("p", {class: "note", "aria-live": "polite"});
  const legend = make("fieldset", {class: "legend"}), table = make("details", {}, make("summary", {}, "As a table"));
  const off = new Set(), seen = new Set();
  let lines, spots, at = [0, 0];
  box.append(make("div", {class: "controls"}, label), plot, said, legend, table);
  const colourOf = new Map();
  function enter() {
    lines = chart.views[select.value];
    for (const line of [...lines].sort((a, b) => b.on - a.on)) { // those shown at first differ in colour
      if (!colourOf.has(line.name)) colourOf.set(line.name, line.faint ? "var(--faint)" : `var(--c${colourOf.size % 8})`);
      if (!line.on && !seen.has(line.name)) off.add(line.name);
      seen.add(line.name);
    }
    legend.replaceChildren(make("legend", {}, "lines"), ...lines.map((line) => {
      const tick = make("input", {type: "checkbox"}), colour = colourOf.get(line.name);
      tick.checked = !off.has(line.name);
      tick.onchange = () => { tick.checked ? off.delete(line.name) : off.add(line.name); draw(); };
      const swatch = make("svg", {viewBox: "0 0 26 14", "aria-hidden": "true"}, mark(line.kind, 13, 7, colour));
      if (line.kind !== "published") swatch.append(make("line", {x1: 0, x2: 26, y1: 7, y2: 7, stroke: colour, "stroke-width": 2, "stroke-dasharray": line.kind === "here" ? "5 3" : "none"}));
      return make("label", {}, tick, swatch, line.name);
    }));
    draw();
  }
  function draw() {
    const shown = lines.filter((line) => !off.has(line.name));
    const width = Math.max(280, plot.clientWidth), height = width < 500 ? 270 : 380, left = 42, right = 12, top = 26, bottom = 44;
    const all = lines.flatMap((line) => line.points), xs = [...new Set(all.map((p) => p[0]))].sort((a, b) => a - b);
    const scale = chart.log ? Math.log : (x) => x, first = scale(xs[0]), span = scale(xs.at(-1)) - first || 1;
    const highest = chart.top ?? (Math.max(0.01, ...shown.flatMap((line) => line.points.map((p) => p[1]))) * 1.05);
    const X = (x) => left + (scale(x) - first) / span * (width - left - right - 8) + 4;
    const Y = (y) => top + (1 - y / highest) * (height - top - bottom);
    const svg = make("svg", {viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true"});
    const step = chart.top ? 20 : [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5].find((s) => highest / s <= 6) ?? 10;
    for (let y = 0; y <= highest + 1e-9; y += step) {
      svg.append(make("line", {class: "grid", x1: left, x2: width - right, y1: Y(y), y2: Y(y)}),
        make("text", {x: left - 6, y: Y(y) + 4, "text-anchor": "end"}, String(+y.toFixed(2))));
    }
    let ticks = xs.length < 12 ? xs : chart.log ? [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7] : [2, 5, 10, 20, 30, 40, 50, 60];
    ticks = ticks.filter((x) => x >= xs[0] && x <= xs.at(-1));
    for (const x of ticks) svg.append(make("line", {class: "grid", x1: X(x), x2: X(x), y1: top, y2: height - bottom}),
      make("text", {x: X(x), y: height - bottom + 17, "text-anchor": "middle"}, short(x)));
    svg.append(make("text", {x: (left + width) / 2, y: height - 6, "text-anchor": "middle"}, chart.x),
      make("text", {x: 0, y: 12}, chart.y));
    spots = shown.map((line) => line.points.map((p) => [X(p[0]), Y(p[1]), p]));
    shown.forEach((line, k) => {
      const colour = colourOf.get(line.name), dense = line.points.length > 20, place = spots[k];
      if (dense && line.points[0][2] !== null)
        svg.append(make("polygon", {points: [...line.points.map((p) => `${X(p[0])},${Y(p[3])}`), ...line.points.toReversed().map((p) => `${X(p[0])},${Y(p[2])}`)].join(" "), fill: colour, opacity: .14}));
      if (line.kind !== "published")
        svg.append(make("path", {d: place.map(([x, y], i) => `${i ? "L" : "M"}${x} ${y}`).join(""), fill: "none", stroke: colour, "stroke-width": 1.8, "stroke-dasharray": line.kind === "here" && !dense ? "5 3" : "none"}));
      if (dense) return;
      for (const [x, y, p] of place) {
        if (p[2] !== null) svg.append(make("line", {x1: x, x2: x, y1: Y(p[2]), y2: Y(p[3]), stroke: colour, "stroke-width": 1.5}));
        svg.append(mark(line.kind, x, y, colour));
      }
    });
    const ring = make("circle", {r: 7, fill: "none", stroke: "var(--ink)", "stroke-width": 2, visibility: "hidden"});
    svg.append(ring);
    plot.replaceChildren(svg, tip);
    tip.hidden = true;
    plot.onpointermove = (event) => {
      const place = svg.getBoundingClientRect(), x = event.clientX - place.left, y = event.clientY - place.top;
      let best = 1600, found = null;
      spots.forEach((line, k) => line.forEach(([a, b], i) => {
        const apart = (a - x) ** 2 + (b - y) ** 2;
        if (apart < best) [best, found] = [apart, [k, i]];
      }));
      found ? show(found, false) : leave();
    };
    plot.onpointerleave = leave;
    plot.onclick = open;
    plot.onkeydown = (event) => {
      const move = {ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0]}[event.key];
      if (event.key === "Enter") open();
      if (!move || !spots.length) return;
      event.preventDefault();
      const k = (Math.min(at[0], spots.length - 1) + move[0] + spots.length) % spots.length;
      show([k, Math.max(0, Math.min(spots[k].length - 1, at[1] + (tip.hidden ? 0 : move[1])))], true);
    };
    function leave() { tip.hidden = true; ring.setAttribute("visibility", "hidden"); }
    function open() { if (!tip.hidden) explain([figureOf(shown[at[0]], spots[at[0]][at[1]][2])]); }
    function show(place, aloud) {
      at = place;
      const [x, y, p] = spots[place[0]][place[1]], figure = figureOf(shown[place[0]], p);
      ring.setAttribute("cx", x); ring.setAttribute("cy", y); ring.setAttribute("visibility", "visible");
      tip.replaceChildren(make("strong", {}, shown[place[0]].name), make("br"), `${p[0].toLocaleString("en")}: ${figure.value}`, ...(p[4] ? [make("br"), `n = ${p[4].toLocaleString("en")}`] : []));
      tip.hidden = false;
      tip.style.left = `${Math.max(0, Math.min(x + 12, width - tip.offsetWidth))}px`;
      tip.style.top = `${y > height / 2 ? y - tip.offsetHeight - 12 : y + 14}px`;
      if (aloud) said.textContent = `${shown[place[0]].name}, ${p[0].toLocaleString("en")}: ${figure.value}`;
    }
    fill(shown);
  }
  function figureOf(line, p) {
    const digits = chart.top ? 1 : 3, unit = chart.top ? " %" : "", range = p[2] === null ? "" : ` (${p[2].toFixed(digits)} to ${p[3].toFixed(digits)})`;
    return {what: `${chart.y.replace(" in %", "")}, ${select.value}, ${p[0].toLocaleString("en")} ${chart.x}`, value: p[1].toFixed(digits) + range + unit, n: p[4], origin: p[5]};
  }
  function fill(shown) {
    table.querySelector("div")?.remove();
    table.ontoggle = () => {
      table.querySelector("div")?.remove();
      if (!table.open) return;
      const xs = [...new Set(shown.flatMap((line) => line.points.map((p) => p[0])))].sort((a, b) => a - b);
      const rows = xs.map((x) => make("tr", {}, make("th", {scope: "row"}, x.toLocaleString("en")), ...shown.map((line) => {
        const p = line.points.find((q) => q[0] === x);
        return make("td", {}, p ? figureOf(line, p).value : "–");
      })));
      const head = make("tr", {}, make("th", {scope: "col"}, chart.x), ...shown.map((line) => make("th", {scope: "col"}, line.name)));
      table.append(make("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": `${box.dataset.title}, as a table`}, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))));
    };
    if (table.open) table.ontoggle();
  }
  enter();
  let before = plot.clientWidth;
  new ResizeObserver(() => { if (plot.clientWidth !== before) { before = plot.clientWidth; draw(); } }).observe(plot);
}
document.querySelectorAll("[data-chart]").forEach(drawChart);

// ------------------------------------------------------------------ pictures
// Layers lie one above another, the first on top: [image, place, number of places]; a strip holds several below one another.
function picture(words, caption, layers, kind = "") {
  const tile = make("div", {class: `tile ${kind}`, role: "img", "aria-label": words});
  tile.style.backgroundImage = layers.map(([image]) => image).join(",");
  tile.style.backgroundSize = layers.map(([, , n]) => `100% ${100 * (n ?? 1)}%`).join(",");
  tile.style.backgroundPosition = layers.map(([, k, n]) => `0 ${n > 1 ? 100 * k / (n - 1) : 0}%`).join(",");
  return make("figure", {}, tile, ...(caption ? [make("figcaption", {}, caption)] : []));
}
const DIM = ["linear-gradient(rgb(0 0 0 / .75), rgb(0 0 0 / .75))"];

function browseScenes() {
  const {levels, splits, sets, answers} = data.scenes, names = new Set(Object.keys(answers).map((key) => key.split("/").slice(0, -2).join("/")));
  const same = (list) => Object.fromEntries([...list].map((one) => [one, one]));
  const [levelLabel, level] = choice("characters in the scene", same(levels), show), [splitLabel, split] = choice("test set", splits, show);
  const [netLabel, net] = choice("network", same(names), show);
  const [orderLabel, order] = choice("order", {worst: "worst answers first", best: "best answers first", random: "random", set: "as in the set"}, show);
  level.value = levels.includes(32) ? 32 : levels[0];
  find("scene-controls").append(netLabel, levelLabel, splitLabel, orderLabel);
  function show() {
    const place = `${level.value}/${split.value}`, set = sets[place], found = answers[`${net.value}/${place}`];
    const list = find("scene-list"), groups = find("scene-groups"), summary = find("scene-summary");
    list.replaceChildren(); groups.replaceChildren();
    if (!found) { summary.textContent = "This network was not evaluated there."; return; }
    const n = set.scenes.length, shown = found.iou.length, numbers = [...Array(shown).keys()], rank = numbers.map(() => Math.random());
    const sign = {worst: 1, best: -1}[order.value];
    if (sign) numbers.sort((a, b) => sign * (found.iou[a] - found.iou[b]));
    if (order.value === "random") numbers.sort((a, b) => rank[a] - rank[b]);
    const total = found.bins.reduce((a, b) => a + b), most = Math.max(...found.bins);
    const bars = make("span", {class: "bars", role: "img", "aria-label": `Histogram of IoU from 0 to 100 %: ${found.bins.join(", ")} scenes`}, ...found.bins.map((count) => make("span")));
    [...bars.children].forEach((bar, k) => { bar.style.height = `${100 * found.bins[k] / most}%`; bar.title = `${10 * k} to ${10 * k + 10} %: ${found.bins[k]}`; });
    summary.replaceChildren(`IoU of all ${total.toLocaleString("en")} scenes, 0 %`, bars, "100 %");
    list.append(...numbers.map((k) => {
      const scene = png(set.scenes[k]), iou = found.iou[k];
      return make("li", {}, make("div", {class: "tiles"}, picture("The target", "target", [[png(set.targets[k])]]),
        picture(`Scene ${k + 1} with ${level.value} characters`, `scene ${k + 1}`, [[scene]]),
        picture("The target's pixels in the scene", "truth", [[png(set.truth), k, n], DIM, [scene]]),
        picture(`Answer of ${net.value}, IoU ${iou} %`, `answer: IoU ${iou} %`, [[png(found.layer), k, shown], DIM, [scene]])));
    }));
    if (found.groups) {
      const {crops, scores, target} = found.groups;
      groups.append(make("h3", {}, "What the colour matcher ranks first in scene 2"),
        make("p", {class: "note"}, "Groups of pixels of one colour with their scores: the group's ink white, other ink grey, the target's group framed."),
        make("div", {class: "crops"}, ...scores.map((score, k) => picture(`Group ${k + 1}${target.includes(k) ? ", the target" : ""}, score ${score}`, String(score), [[png(crops), k, scores.length]], target.includes(k) ? "target" : ""))));
    }
  }
  show();
}
if (data.scenes?.sets) browseScenes();

function browseTrials() {
  const {sheet, n, columns, support, queries, answers, choices} = data.trials, image = png(sheet), lines = Math.ceil(n / columns);
  const trials = queries.flatMap((asked, e) => asked.map((_, q) => [e, q]));
  const options = {some: "somebody is wrong", all: "all trials", none: "everybody is right"};
  Object.keys(choices).forEach((name, k) => { options[`wrong ${k}`] = `${name}: wrong`; });
  const [label, filter] = choice("trials", options, () => { at = 0; show(); });
  const [back, next] = ["Previous", "Next"].map((text) => make("button", {}, text));
  let at = 0;
  back.onclick = () => { at -= 1; show(); };
  next.onclick = () => { at += 1; show(); };
  find("trial-controls").append(label, back, next);
  function drawing(number, words, caption, kind = "") {
    const figure = picture(words, caption, [[image]], `paper ${kind}`), style = figure.firstChild.style;
    style.backgroundSize = `${100 * columns}% ${100 * lines}%`;
    style.backgroundPosition = `${100 * (number % columns) / (columns - 1)}% ${lines > 1 ? 100 * Math.floor(number / columns) / (lines - 1) : 0}%`;
    return figure;
  }
  function show() {
    const wrong = ([e, q], name) => choices[name][e][q] !== answers[e][q], every = Object.keys(choices);
    const wanted = {all: () => true, some: (trial) => every.some((name) => wrong(trial, name)), none: (trial) => !every.some((name) => wrong(trial, name))};
    const chosen = trials.filter(wanted[filter.value] ?? ((trial) => wrong(trial, every[filter.value.slice(6)])));
    const summary = find("trial-summary"), box = find("trial");
    back.disabled = next.disabled = !chosen.length;
    if (!chosen.length) { box.replaceChildren(); summary.textContent = `None of ${trials.length} trials.`; return; }
    at = (at + chosen.length) % chosen.length;
    const [e, q] = chosen[at], right = answers[e][q];
    summary.textContent = `Trial ${at + 1} of ${chosen.length}; ${trials.length} in all, ${support[e].length} characters each.`;
    box.replaceChildren(make("div", {class: "query"}, drawing(queries[e][q], "The drawing that is asked", "asked")),
      make("div", {class: "support"}, ...support[e].map((number, k) => drawing(number, `Character ${k + 1}${k === right ? ", the right one" : ""}`, String(k + 1), k === right ? "right" : ""))),
      make("div", {class: "choices"}, ...every.map((name) => {
        const k = choices[name][e][q], good = k === right;
        const figure = drawing(support[e][k], `${name} chose character ${k + 1}, which is ${good ? "right" : "wrong"}`, "", good ? "right" : "");
        figure.append(make("figcaption", {}, name, make("br"), make("span", {class: good ? "good" : "bad"}, `${k + 1}: ${good ? "right" : "wrong"}`)));
        return figure;
      })));
  }
  show();
}
if (data.trials?.sheet) browseTrials();
