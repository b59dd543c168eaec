// A digit drawn with the finger, its cloud q(z|x) on the latent plane, and its reconstruction.
(() => {
  const root = document.currentScript.closest(".drawing");
  const data = JSON.parse(root.querySelector(".data").textContent);
  const find = (selector) => root.querySelector(selector);
  const [paper, plane] = [find(".paper"), find(".plane")];
  const encoder = networks.unpack(data.encoder);
  const toMean = networks.unpack(data.mean);
  const toLogScale = networks.unpack(data.log_scale);
  const decoder = networks.unpack(data.decoder);

  const SIDE = 28; // of an image, in pixels
  const BOX = 20; // of the digit within it
  const CENTER = 14.5; // of mass of MNIST's digits, in pixels: that of the pixel in row and column 15
  const PEN = 2.5; // width of a line, in pixels of the image
  const FINE = 4; // as finely is a drawing rendered before it is averaged to pixels
  const INK = 0.06; // width of a line on the paper, of its side
  const STEP = 0.05; // of an arrow key, of the plane's half width

  let strokes = []; // of points (x, y) from 0 to 1, y downward
  let x = null; // the image, 784 values from 0 to 1; null if nothing is drawn
  let noise = [0, 0]; // z is mean + scale * noise
  let state = null; // what the networks returned last

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  // Return a draw from N(0, 1), by the formula of Box and Muller.
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

  // The networks

  // Without an image there is no q(z|x), and z is drawn from p(z) = N(0, I).
  function encode() {
    if (!x) return { mean: [0, 0], scale: [1, 1] };
    // [encode]
    const h = networks.run(encoder, x);
    const mean = networks.run(toMean, h);
    const scale = networks.run(toLogScale, h).map(Math.exp);
    // [end]
    return { mean: [...mean], scale: [...scale] };
  }

  function decode({ mean, scale }) {
    // [decode]
    const z = mean.map((m, d) => m + scale[d] * noise[d]);
    const reconstruction = networks.run(decoder, z);
    // [end]
    return { z, reconstruction };
  }

  // Return KL(q(z|x) || p(z)) in nats.
  const rate = ({ mean, scale }) =>
    mean.reduce((sum, m, d) => sum + (m * m + scale[d] ** 2 - 1) / 2 - Math.log(scale[d]), 0);

  const squaredError = ({ reconstruction }) =>
    x.reduce((sum, value, pixel) => sum + (value - reconstruction[pixel]) ** 2, 0);

  // From a drawing to an image as those of MNIST are

  function extent(strokes) {
    const points = strokes.flat();
    const [xs, ys] = [points.map((p) => p.x), points.map((p) => p.y)];
    return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
  }

  // Draw strokes on a context, by a function from their points to places.
  function trace(on, strokes, color, width, place) {
    on.strokeStyle = on.fillStyle = color;
    on.lineCap = on.lineJoin = "round";
    on.lineWidth = width;
    for (const stroke of strokes) {
      on.beginPath();
      on.arc(...place(stroke[0]), width / 2, 0, 2 * Math.PI); // A single point is seen, too.
      on.fill();
      on.beginPath();
      for (const p of stroke) on.lineTo(...place(p));
      on.stroke();
    }
  }

  const fine = document.createElement("canvas");
  fine.width = fine.height = SIDE * FINE;
  const rendering = fine.getContext("2d", { willReadFrequently: true });

  // Render strokes, with the middle of their extent at (atX, atY) in pixels: SIDE x SIDE values.
  function rendered(strokes, atX, atY) {
    const { left, right, top, bottom } = extent(strokes);
    const long = Math.max(right - left, bottom - top);
    const scale = long > 0.02 ? (BOX - PEN) / long : 1; // a dot is not enlarged
    rendering.fillStyle = "black";
    rendering.fillRect(0, 0, fine.width, fine.height);
    trace(rendering, strokes, "white", PEN * FINE, (p) => [
      FINE * (atX + scale * (p.x - (left + right) / 2)),
      FINE * (atY + scale * (p.y - (top + bottom) / 2)),
    ]);
    const levels = rendering.getImageData(0, 0, fine.width, fine.height).data;
    const image = new Float64Array(SIDE * SIDE);
    for (let row = 0; row < fine.height; row++) {
      for (let column = 0; column < fine.width; column++) {
        const pixel = Math.floor(row / FINE) * SIDE + Math.floor(column / FINE);
        image[pixel] += levels[4 * (row * fine.width + column)] / 255 / FINE ** 2;
      }
    }
    return image;
  }

  function centerOfMass(image) {
    let [mass, x, y] = [0, 0, 0];
    image.forEach((value, pixel) => {
      mass += value;
      x += value * ((pixel % SIDE) + 0.5);
      y += value * (Math.floor(pixel / SIDE) + 0.5);
    });
    return [x / mass, y / mass];
  }

  // Scale a drawing into the box, and move its center of mass to where those of MNIST are.
  function asImage(strokes) {
    const [x, y] = centerOfMass(rendered(strokes, CENTER, CENTER));
    return rendered(strokes, 2 * CENTER - x, 2 * CENTER - y);
  }

  // What is shown

  const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  function prepare(canvas) {
    const scale = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(canvas.clientWidth * scale);
    const on = canvas.getContext("2d");
    on.setTransform(scale, 0, 0, scale, 0, 0);
    return on;
  }

  // Pixels are written one by one, so the canvas is kept in main memory, not on the GPU.
  function showImage(canvas, values) {
    const on = canvas.getContext("2d", { willReadFrequently: true });
    const pixels = on.createImageData(SIDE, SIDE);
    for (let pixel = 0; pixel < SIDE * SIDE; pixel++) {
      const level = values ? 255 * values[pixel] : 0;
      pixels.data.set([level, level, level, 255], 4 * pixel);
    }
    on.putImageData(pixels, 0, 0);
  }

  function drawPaper() {
    const side = paper.clientWidth;
    if (side === 0) return; // not visible
    const on = prepare(paper);
    const ink = color("ink");
    if (strokes.length > 0) trace(on, strokes, ink, INK * side, (p) => [side * p.x, side * p.y]);
    else if (x) {
      on.fillStyle = ink;
      const cell = side / SIDE;
      x.forEach((value, pixel) => {
        on.globalAlpha = value;
        on.fillRect((pixel % SIDE) * cell, Math.floor(pixel / SIDE) * cell, cell, cell);
      });
    }
  }

  const reach = data.reach; // The plane shows both coordinates from -reach to reach.
  const toScreen = ([a, b], side) => [((a + reach) / (2 * reach)) * side, ((reach - b) / (2 * reach)) * side];
  const toPlane = (left, top, side) => [(2 * left / side - 1) * reach, (1 - 2 * top / side) * reach];
  const background = document.createElement("canvas"); // codes and prior, which do not change

  function drawBackground() {
    const side = plane.clientWidth;
    if (side === 0) return;
    prepare(plane);
    background.width = background.height = plane.width;
    const on = background.getContext("2d");
    on.scale(plane.width / side, plane.width / side);
    on.globalAlpha = 0.7;
    for (const [a, b, label] of data.codes) {
      on.fillStyle = data.colors[label];
      on.beginPath();
      on.arc(...toScreen([a, b], side), side / 300, 0, 2 * Math.PI);
      on.fill();
    }
    on.globalAlpha = 1;
    on.strokeStyle = color("quiet");
    on.setLineDash([6, 4]);
    for (const mass of [0.5, 0.95]) {
      on.beginPath();
      on.arc(side / 2, side / 2, (Math.sqrt(-2 * Math.log(1 - mass)) / (2 * reach)) * side, 0, 2 * Math.PI);
      on.stroke();
    }
    on.font = "bold 16px system-ui, sans-serif";
    on.textAlign = "center";
    on.textBaseline = "middle";
    on.setLineDash([]);
    on.lineWidth = 4;
    on.strokeStyle = color("paper");
    on.fillStyle = color("ink");
    on.lineJoin = "round";
    data.means.forEach((mean, digit) => {
      on.strokeText(digit, ...toScreen(mean, side));
      on.fillText(digit, ...toScreen(mean, side));
    });
  }

  function drawPlane() {
    const side = plane.clientWidth;
    if (side === 0) return;
    const on = plane.getContext("2d");
    on.clearRect(0, 0, side, side);
    on.drawImage(background, 0, 0, side, side);
    const outlined = (width, path) => {
      for (const [wide, name] of [[width + 3, "paper"], [width, "accent"]]) {
        on.beginPath();
        path();
        on.lineWidth = wide;
        on.strokeStyle = color(name);
        on.stroke();
      }
    };
    const { mean, scale, z } = state;
    if (x) {
      const radii = scale.map((s) => Math.max(2, ((2 * s) / (2 * reach)) * side));
      outlined(2.5, () => on.ellipse(...toScreen(mean, side), ...radii, 0, 0, 2 * Math.PI));
    }
    const [left, top] = toScreen(z, side);
    outlined(2, () => {
      for (const [a, b] of [[7, 0], [0, 7]]) {
        on.moveTo(left - a, top - b);
        on.lineTo(left + a, top + b);
      }
    });
  }

  const number = (value) => value.toFixed(2).replace(/^-(0\.00)$/, "$1").replace("-", "−");
  const vector = (values) => `(${[...values].map(number).join(", ")})`;

  let saying = 0;
  function write() {
    const { mean, scale, z } = state;
    const words = [x ? `mean ${vector(mean)}` : "Nothing is drawn: z comes from p(z)"];
    if (x) words.push(`standard deviations ${vector(scale)}`);
    words.push(`z = ${vector(z)}`);
    if (x) words.push(`squared error ${number(squaredError(state))}`, `rate ${number(rate(state))} nats`);
    find(".numbers").textContent = `${words.join("; ")}.`;
    clearTimeout(saying); // Say it once the finger rests.
    saying = setTimeout(() => (find(".announcement").textContent = find(".numbers").textContent), 600);
  }

  let frame = 0;
  function update() {
    const q = encode();
    state = { ...q, ...decode(q) };
    if (!frame) frame = requestAnimationFrame(show);
  }

  function show() {
    frame = 0;
    drawPaper();
    drawPlane();
    showImage(find(".seen"), x);
    showImage(find(".decoded"), state.reconstruction);
    write();
  }

  function redraw() {
    drawBackground();
    show();
  }

  // Input

  function setImage(image) {
    x = image;
    noise = [0, 0];
    update();
  }

  function setStrokes(drawn) {
    strokes = drawn;
    setImage(strokes.length > 0 ? asImage(strokes) : null);
  }

  const place = (event, canvas) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top].map((each) => each / box.width);
  };

  let drawing = false;
  paper.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    paper.setPointerCapture(event.pointerId);
    drawing = true;
    const [a, b] = place(event, paper);
    setStrokes([...strokes, [{ x: a, y: b }]]);
  });
  paper.addEventListener("pointermove", (event) => {
    if (!drawing) return;
    const all = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const each of all.length > 0 ? all : [event]) {
      const [a, b] = place(each, paper).map((value) => clamp(value, 0, 1));
      strokes.at(-1).push({ x: a, y: b });
    }
    setStrokes(strokes);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    paper.addEventListener(name, () => (drawing = false));
  }

  function moveTo(point) {
    const q = encode();
    noise = point.map((value, d) => (clamp(value, -reach, reach) - q.mean[d]) / q.scale[d]);
    update();
  }

  let moving = false;
  plane.addEventListener("pointerdown", (event) => {
    plane.setPointerCapture(event.pointerId);
    moving = true;
    moveTo(toPlane(...place(event, plane), 1));
  });
  plane.addEventListener("pointermove", (event) => {
    if (moving) moveTo(toPlane(...place(event, plane), 1));
  });
  for (const name of ["pointerup", "pointercancel"]) {
    plane.addEventListener(name, () => (moving = false));
  }
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
  plane.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = STEP * reach * (event.shiftKey ? 4 : 1);
    moveTo(state.z.map((value, d) => value + step * arrow[d]));
    event.preventDefault();
  });

  find(".clear").addEventListener("click", () => setStrokes([]));
  find(".sample").addEventListener("click", () => {
    noise = [normal(), normal()];
    update();
  });
  find(".mean").addEventListener("click", () => {
    noise = [0, 0];
    update();
  });

  const levels = networks.numbers(data.examples, Uint8Array);
  const examples = [...Array(levels.length / SIDE ** 2).keys()].map((k) =>
    Float64Array.from(levels.subarray(k * SIDE ** 2, (k + 1) * SIDE ** 2), (level) => level / 255),
  );
  examples.forEach((image, digit) => {
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIDE;
    showImage(canvas, image);
    button.type = "button";
    button.setAttribute("aria-label", `test image of a ${digit}`);
    button.append(canvas);
    button.addEventListener("click", () => {
      strokes = [];
      setImage(image);
    });
    find(".examples").append(button);
  });

  setImage(examples[3]);
  new ResizeObserver(redraw).observe(root);
  // The theme is that of the documentation, or of the system.
  new MutationObserver(redraw).observe(document.body, { attributeFilter: ["data-theme"] });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  root.drawing = {
    state: () => ({ ...state, x: x && [...x], reconstruction: [...state.reconstruction] }),
  };
})();
