// Which one? Trials of the benchmark, for the player and the classifiers.
import { onTheme, showBits } from "./drawing.js";
import { ask, kindOf, makeTable, moveByArrows, named } from "./page.js";

const get = (id) => document.getElementById(id);
const shown = get("which-shown"), said = get("which-said"), next = get("which-next"), result = get("which-result");
let about = null, questions = [], answers = [], drawings = null, judged = null, started = 0;

export function startTrials(facts) {
  about = facts;
  const list = about.protocol === "all_runs" ? "Lake's own trials" : `the trials “${about.protocol}”`;
  get("which-hint").textContent =
    `${about.n_questions} questions from ${list}: which of ${about.n_way} characters shows the same as the ` +
    "drawing, by another hand?" +
    (about.people_percent === null ? "" : ` People were right in ${about.people_percent} % (published).`);
  get("which-start").addEventListener("click", begin);
  next.addEventListener("click", () => (answers.length < questions.length ? pose() : sumUp()));
  moveByArrows(shown);
  onTheme(() => drawings && paint());
}

async function begin() {
  ({ questions } = await ask("questions"));
  answers = [];
  result.replaceChildren();
  get("which-start").textContent = "Start anew";
  get("which-hint").hidden = true;
  await pose();
}

async function pose() {
  const question = questions[answers.length];
  drawings = await ask("question", question);
  get("which-trial").hidden = false;
  get("which-number").textContent = `Question ${answers.length + 1} of ${questions.length}`;
  said.replaceChildren();
  next.hidden = true;
  shown.replaceChildren(
    ...drawings.shown.map((_, place) => {
      const button = document.createElement("button");
      button.tabIndex = place ? -1 : 0;
      button.setAttribute("aria-label", `candidate ${place + 1}`);
      button.append(document.createElement("canvas"));
      button.addEventListener("click", () => answer(place));
      return button;
    }),
  );
  paint();
  started = performance.now();
  judged = ask("answer", question); // while the player thinks
  judged.catch(() => {});
}

function paint() {
  showBits(get("which-asked"), drawings.asked, about.side);
  drawings.shown.forEach((bits, place) => showBits(shown.children[place].firstChild, bits, about.side));
}

async function answer(choice) {
  if (!next.hidden || answers.length === questions.length || said.dataset.busy) return;
  const seconds = Math.min(86400, Math.round(performance.now() - started) / 1000);
  said.dataset.busy = "yes";
  const { right, classifiers } = await judged.finally(() => delete said.dataset.busy);
  answers.push({ ...questions[answers.length], choice, seconds });
  const buttons = [...shown.children];
  const describe = (place) => (place === right ? "✓\u00a0right" : `✗\u00a0candidate ${place + 1}`);
  const mine = document.createElement("p");
  mine.className = choice === right ? "verdict right" : "verdict wrong";
  mine.textContent = choice === right ? `Right, in ${seconds.toFixed(1)} s.` : `Not this one: it is candidate ${right + 1}.`;
  const rows = Object.entries(classifiers).map(([who, place], k) => [named(who, kindOf(k)), describe(place)]);
  said.replaceChildren(mine, makeTable("Networks", ["who", "answer"], rows));
  buttons[right].classList.add("right");
  if (choice !== right) buttons[choice].classList.add("wrong");
  buttons.forEach((button) => button.setAttribute("aria-disabled", "true"));
  next.textContent = answers.length < questions.length ? "Next question" : "Your result";
  next.hidden = false;
  next.focus();
}

async function sumUp() {
  const { figures, file } = await ask("result", { answers });
  get("which-trial").hidden = true;
  get("which-hint").hidden = false;
  const percent = (value) => (100 * value).toFixed(0);
  const rows = Object.entries(figures).map(([who, { value, low, high, n }], k) => [
    named(who, k ? kindOf(k - 1) : "you"),
    `${percent(value)}\u00a0%`,
    `${percent(low)} to ${percent(high)} %`,
    `${n}`,
  ]);
  if (about.people_percent !== null)
    rows.push([named("people, published", "other"), `${about.people_percent}\u00a0%`, "–", "–"]);
  const save = document.createElement("button");
  save.textContent = "Save the result";
  save.addEventListener("click", () => download(file));
  const table = makeTable("Right answers", ["who", "right", "95 % interval", "trials"], rows);
  result.replaceChildren(table, save);
}

function download(file) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1) + "\n"], { type: "application/json" }));
  link.download = `${file.protocol}-answers.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
