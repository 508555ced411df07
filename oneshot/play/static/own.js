// Your characters: each drawing is a class; then the classifiers rank the classes for another one.
import { Pad, onTheme } from "./drawing.js";
import { ask, kindOf, makeTable, named } from "./page.js";

const N_CLASSES = 5;
const get = (id) => document.getElementById(id);
const result = get("own-result");
const classes = [];
let query = null, waiting = 0, n_asked = 0;

export function startOwn(about) {
  const changed = () => {
    clearTimeout(waiting);
    waiting = setTimeout(rank, 100);
  };
  for (let place = 1; place <= N_CLASSES; place++) {
    const card = document.createElement("div");
    card.className = "card";
    const pad = new Pad(card, `Character ${place}`, about, changed);
    const name = document.createElement("input");
    name.placeholder = `name ${place}`;
    name.maxLength = 40;
    name.setAttribute("aria-label", `Name of character ${place}`);
    name.addEventListener("change", changed);
    card.append(name);
    get("own-classes").append(card);
    classes.push({ pad, name, usual: `character ${place}` });
  }
  query = new Pad(get("own-query"), "Which one is this?", about, changed);
  onTheme(() => [query, ...classes.map(({ pad }) => pad)].forEach((pad) => pad.paint()));
  rank();
}

function say(words) {
  const hint = document.createElement("p");
  hint.className = "hint";
  hint.textContent = words;
  result.replaceChildren(hint);
}

async function rank() {
  const number = ++n_asked;
  const drawn = classes.filter(({ pad }) => pad.strokes.length);
  if (drawn.length < 2) return say(`${drawn.length} of ${N_CLASSES} characters are drawn; two are enough to begin.`);
  if (!query.strokes.length) return say(`${drawn.length} of ${N_CLASSES} characters are drawn. Now draw one again below.`);
  const message = {
    classes: drawn.map(({ pad, name, usual }) => ({ name: name.value.trim() || usual, strokes: pad.strokes })),
    query: query.strokes,
  };
  const { rankings } = await ask("own", message);
  if (number !== n_asked) return;
  result.replaceChildren(
    ...rankings.map(({ who, classes: names, scores, score_name }, place) => {
      const rows = names.map((name, k) => [k ? name : `✓ ${name}`, scores[k].toFixed(3)]);
      const table = makeTable(named(who, kindOf(place)).textContent, ["character", score_name], rows);
      table.className = "ranking";
      return table;
    }),
  );
}
