// Drawings: shown from packed bits, or made by mouse, pen, finger or keyboard.

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

export function showBits(canvas, bits, side, tint = null, paper = null) {
  const packed = Uint8Array.from(atob(bits), (letter) => letter.charCodeAt(0));
  const rowBytes = Math.ceil(side / 8);
  canvas.width = canvas.height = side;
  const pen = canvas.getContext("2d");
  pen.fillStyle = paper ?? token("--paper");
  pen.fillRect(0, 0, side, side);
  pen.fillStyle = tint ? `rgb(${tint.join(" ")})` : token("--ink");
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      if ((packed[y * rowBytes + (x >> 3)] >> (x & 7)) & 1) pen.fillRect(x, y, 1, 1);
    }
  }
}

// A pad to draw on. `changed` is called after every line; `strokes` holds the lines in pixels of a drawing.
export class Pad {
  constructor(place, title, { side, pen }, changed) {
    Object.assign(this, { side, width: pen, changed, strokes: [], at: [side / 2, side / 2], down: false });
    const head = document.createElement("div");
    head.className = "padhead";
    this.heading = document.createElement("h2");
    this.heading.textContent = title;
    const clear = document.createElement("button");
    clear.textContent = "Clear";
    clear.setAttribute("aria-label", `Clear ${title}`);
    clear.addEventListener("click", () => (this.clear(), this.changed()));
    head.append(this.heading, clear);
    this.canvas = document.createElement("canvas");
    this.canvas.width = this.canvas.height = side * 4;
    this.canvas.className = "pad";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-roledescription", "drawing pad");
    this.canvas.setAttribute("aria-label", `${title}: arrow keys move the pen, space puts it down and up`);
    place.append(head, this.canvas);
    this.listen();
    this.paint();
  }

  listen() {
    const { canvas } = this;
    const read = (event) => {
      const box = canvas.getBoundingClientRect();
      return [
        ((event.clientX - box.left) / box.width) * this.side,
        ((event.clientY - box.top) / box.height) * this.side,
      ];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.down = false;
      this.line = [];
      this.strokes.push(this.line);
      this.extend(read(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.line) return;
      for (const one of event.getCoalescedEvents?.() ?? [event]) this.extend(read(one));
    });
    const lift = () => {
      if (this.line) this.changed();
      this.line = null;
    };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener("keydown", (event) => this.takeKey(event));
    canvas.addEventListener("blur", () => this.down && this.lower(false));
    canvas.addEventListener("focus", () => this.paint());
  }

  takeKey(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === " ") this.lower(!this.down);
    else if (way) {
      this.at = this.at.map((value, axis) => Math.min(this.side, Math.max(0, value + 4 * way[axis])));
      if (this.down) this.extend(this.at, this.strokes.at(-1));
      else this.paint();
    } else return;
    event.preventDefault();
  }

  lower(down) {
    this.down = down;
    if (down) {
      this.strokes.push([]);
      this.extend(this.at, this.strokes.at(-1));
    } else {
      this.changed();
      this.paint();
    }
  }

  extend(point, line = this.line) {
    const [x, y] = point.map((value) => Math.round(10 * Math.min(this.side, Math.max(0, value))) / 10);
    const last = line.at(-1);
    if (last && Math.hypot(x - last[0], y - last[1]) < 1) return;
    if (line.length < 2000) line.push([x, y]);
    this.paint();
  }

  clear() {
    this.strokes = [];
    this.line = null;
    this.down = false;
    this.paint();
  }

  paint() {
    const pen = this.canvas.getContext("2d");
    const scale = this.canvas.width / this.side;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.fillStyle = token("--paper");
    pen.fillRect(0, 0, this.side, this.side);
    pen.strokeStyle = token("--ink");
    pen.lineWidth = this.width;
    pen.lineCap = pen.lineJoin = "round";
    for (const line of this.strokes) {
      pen.beginPath();
      pen.moveTo(...line[0]);
      for (const point of line) pen.lineTo(...point);
      pen.stroke();
    }
    if (document.activeElement === this.canvas && this.canvas.matches(":focus-visible")) {
      pen.strokeStyle = token("--you");
      pen.lineWidth = 1;
      pen.beginPath();
      pen.arc(...this.at, this.width / 2 + 1, 0, 7);
      pen.stroke();
    }
  }
}

// The theme changes colours that are painted, not styled.
export function onTheme(paint) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
}
