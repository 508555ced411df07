// Find it: a scene, in which the player or the networks search.
import { Pad, onTheme, showBits } from "./drawing.js";
import { ask, kindOf, makeTable, moveByArrows, named } from "./page.js";

const SCALE = 6; // pixels of the canvas for one of the scene
const NEAR = 3; // pixels around a click in which a character counts as clicked
const COLOURS = { first: "#3ddc97", second: "#ffb454", you: "#8fb8ff" };
const HINTS = {
  race: "Find the target in the scene, and click it. The clock runs.",
  click: "Click any character: the networks look for it, shown another drawing of it.",
  draw: "Draw a character that you see in the scene: the networks look for it.",
};

const get = (id) => document.getElementById(id);
const canvas = get("scene-canvas"), keys = get("scene-keys"), result = get("find-result"), clock = get("find-clock");
let scene = null, pad = null, started = null, clicked = null, n_asked = 0, timer = 0;

const mode = () => document.querySelector("[name=mode]:checked").value;

export async function startFinding(about) {
  const level = get("find-level");
  for (const one of about.clutter_levels) level.add(new Option(one, one, one === 32, one === 32));
  let waiting = 0;
  pad = new Pad(get("find-pad"), "Your drawing", about, () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => searchFor({ strokes: pad.strokes }), 100);
  });
  onTheme(() => pad.paint());
  moveByArrows(keys);
  level.addEventListener("change", openScene);
  get("find-mode").addEventListener("change", openScene);
  get("find-new").addEventListener("click", openScene);
  get("scene").addEventListener("pointerdown", (event) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * scene.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * scene.height);
    const label = labelNear(x, y);
    if (label) choose(label, x, y);
  });
  await openScene();
}

// In the modes of a scene that is there, choosing another mode keeps it but for a race, which needs a new one.
async function openScene(event) {
  const keeps = scene && event?.target.name === "mode" && mode() !== "race";
  if (!keeps) scene = await ask("scene", { clutter_level: Number(get("find-level").value) });
  n_asked++;
  clicked = null;
  result.replaceChildren();
  get("find-hint").textContent = HINTS[mode()];
  get("find-pad").hidden = mode() !== "draw";
  get("find-target").hidden = mode() !== "race";
  clock.hidden = mode() !== "race";
  pad.clear();
  showTarget(scene.target);
  paint([]);
  placeKeys();
  cancelAnimationFrame(timer);
  started = mode() === "race" ? performance.now() : null;
  if (started !== null) tick();
}

function tick() {
  if (started === null) return;
  clock.textContent = `${seconds().toFixed(1)}\u00a0s`;
  timer = requestAnimationFrame(tick);
}

const seconds = () => (performance.now() - started) / 1000;

function showTarget(target) {
  showBits(get("target-canvas"), target.bits, target.side, target.tint, "#000");
}

// One button for each character, at its place, for those who use the keyboard.
function placeKeys() {
  keys.setAttribute(
    "aria-label",
    `Scene with ${scene.places.length} visible characters: arrow keys move among them, Enter chooses`,
  );
  keys.replaceChildren(
    ...scene.places.map(({ label, x, y }, place) => {
      const button = document.createElement("button");
      button.tabIndex = place ? -1 : 0;
      button.style.left = `${((x + 0.5) / scene.width) * 100}%`;
      button.style.top = `${((y + 0.5) / scene.height) * 100}%`;
      button.setAttribute("aria-label", `character ${place + 1}, ${x} from the left, ${y} from the top`);
      button.addEventListener("click", () => choose(label, x, y));
      return button;
    }),
  );
}

function labelNear(x, y) {
  let found = 0, least = NEAR + 0.5;
  for (let row = Math.max(0, y - NEAR); row <= Math.min(scene.height - 1, y + NEAR); row++) {
    for (let column = Math.max(0, x - NEAR); column <= Math.min(scene.width - 1, x + NEAR); column++) {
      const label = scene.labels[row * scene.width + column];
      const distance = Math.hypot(row - y, column - x);
      if (label && distance < least) [found, least] = [label, distance];
    }
  }
  return found;
}

function choose(label, x, y) {
  if (mode() === "draw") return;
  if (mode() === "click") {
    clicked = null;
    searchFor({ label });
  } else if (started !== null) {
    clicked = { x, y, hit: scene.right_labels.includes(label), seconds: seconds() };
    started = null;
    clock.textContent = `${clicked.seconds.toFixed(1)}\u00a0s`;
    searchFor({ label: scene.target_label });
  }
}

async function searchFor(what) {
  const number = ++n_asked;
  if (what.strokes && !what.strokes.length) {
    result.replaceChildren();
    paint([]);
    return;
  }
  const { clutter_level, seed } = scene;
  result.setAttribute("aria-busy", "true");
  const found = await ask("find", { clutter_level, seed, ...what }).finally(() => result.removeAttribute("aria-busy"));
  if (number !== n_asked) return; // another was asked for meanwhile
  if (!what.strokes) {
    showTarget(found.target);
    get("find-target").hidden = false;
  }
  paint(found.answers);
  report(found.answers);
}

function report(answers) {
  const judged = answers.some((one) => "hit" in one);
  const said = (hit) => (hit ? "✓\u00a0found" : "✗\u00a0missed");
  const rows = answers.map((one, place) => [
    named(one.who, kindOf(place)),
    ...(judged ? [said(one.hit), `${(100 * one.iou).toFixed(0)}\u00a0%`] : [one.box ? "in the scene" : "nothing found"]),
    one.score.toFixed(2),
    `${one.milliseconds.toFixed(0)}\u00a0ms`,
  ]);
  if (clicked) {
    rows.unshift([named("you", "you"), said(clicked.hit), "–", "–", `${clicked.seconds.toFixed(1)}\u00a0s`]);
  }
  const heads = ["who", "answer", ...(judged ? ["IoU"] : []), "score", "time"];
  result.replaceChildren(makeTable("Answers", heads, rows));
}

// The scene; around answers it is dimmed. The first network's pixels are filled, others' are outlined.
function paint(answers) {
  const { width, height, labels, palette } = scene;
  canvas.width = width * SCALE;
  canvas.height = height * SCALE;
  const pen = canvas.getContext("2d");
  const dimming = answers.length ? 0.38 : 1;
  const filled = new Set(answers[0]?.pixels);
  for (let k = 0; k < labels.length; k++) {
    const tint = palette[labels[k]].map((value) => Math.round(value * dimming)).join(" ");
    pen.fillStyle = filled.has(k) ? COLOURS.first : `rgb(${tint})`;
    pen.fillRect((k % width) * SCALE, Math.floor(k / width) * SCALE, SCALE, SCALE);
  }
  answers.slice(1).forEach((one, place) => outline(pen, new Set(one.pixels), COLOURS[kindOf(place + 1)]));
  if (clicked) mark(pen, clicked);
}

function outline(pen, pixels, colour) {
  const { width } = scene;
  pen.fillStyle = colour;
  for (const k of pixels) {
    const x = (k % width) * SCALE, y = Math.floor(k / width) * SCALE;
    if (!pixels.has(k - 1) || k % width === 0) pen.fillRect(x, y, 2, SCALE);
    if (!pixels.has(k + 1) || k % width === width - 1) pen.fillRect(x + SCALE - 2, y, 2, SCALE);
    if (!pixels.has(k - width)) pen.fillRect(x, y, SCALE, 2);
    if (!pixels.has(k + width)) pen.fillRect(x, y + SCALE - 2, SCALE, 2);
  }
}

function mark(pen, { x, y }) {
  for (const [colour, line] of [["#000", 8], [COLOURS.you, 4]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = line;
    pen.beginPath();
    pen.arc((x + 0.5) * SCALE, (y + 0.5) * SCALE, 4 * SCALE, 0, 7);
    pen.stroke();
  }
}
