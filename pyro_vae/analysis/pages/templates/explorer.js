"use strict";

// The latent explorer. Everything it shows is in the page: the decoder, or images that it decoded on
// a grid of nodes, the points of the test images, outlines of the prior's mass. Points (x, y) are in
// map coordinates.
(() => {
  const root = document.currentScript.closest(".explorer");
  const data = JSON.parse(root.querySelector(".data").textContent);
  const find = (selector) => root.querySelector(selector);
  const map = find(".map");
  const decoded = find(".decoded");
  const slider = find(".along input");
  const buttons = { random: find(".random"), play: find(".play"), clear: find(".clear") };
  const stillness = window.matchMedia("(prefers-reduced-motion: reduce)");
  const darkness = window.matchMedia("(prefers-color-scheme: dark)");

  const [[left, right], [bottom, top]] = data.window;
  const flat = data.names.length === 1; // one latent dimension: vertical positions are random
  const PATH_SECONDS = 4;
  const STILL_STEPS = 10; // frames of a path if the reader prefers reduced motion
  const EASE_MILLISECONDS = 60; // the shown point catches up with the pointer in about this time
  const REACH = 14; // pixels within which a point counts as near
  const DRAG = 6; // pixels beyond which a press counts as a drag

  const middle = { x: (left + right) / 2, y: (bottom + top) / 2 };
  let shown = { ...middle }; // the point that is decoded
  let wanted = { ...middle }; // the point under the pointer
  let ends = []; // of the path: none, one or two points
  let along = 0; // position on the path, 0 to 1
  let playing = false;
  let near = -1; // index of the point near the shown point, or -1
  const hidden = new Set(); // groups hidden by the legend

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const inside = (p) => ({ x: clamp(p.x, left, right), y: clamp(p.y, bottom, top) });
  const between = (a, b, t) => ({ x: a.x + (b.x - a.x) * t, y: a.y + (b.y - a.y) * t });

  // The decoded image

  const { width, height, channels } = data.decoder || data.nodes;
  // Pixels are written one by one, so the canvas is kept in main memory, not on the GPU.
  const context = decoded.getContext("2d", { willReadFrequently: true });
  decoded.width = width;
  decoded.height = height;
  const pixels = context.createImageData(width, height);
  let levelsAt = null; // from a point to a function of pixel and color: a level from 0 to 255

  // Decode points by the decoder itself.
  function loadDecoder() {
    const { origin, directions, normalize } = data.decoder;
    const network = networks.unpack(data.decoder.network);
    levelsAt = (p) => {
      let z = origin.map((value, d) =>
        directions.reduce((sum, direction, axis) => sum + [p.x, p.y][axis] * direction[d], value),
      );
      if (normalize) z = z.map((value) => value / Math.max(Math.hypot(...z), 1e-12));
      const x = networks.run(network, z).map((value) => 255 * clamp(value, 0, 1)); // (C, H, W)
      const size = width * height;
      if (channels === 3) return (pixel, color) => x[color * size + pixel];
      return (pixel) => {
        let sum = 0;
        for (let channel = 0; channel < channels; channel++) sum += x[channel * size + pixel];
        return sum / channels;
      };
    };
  }

  // Return the pixel values of a picture without showing it.
  async function pixelsOf(address) {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const drawing = canvas.getContext("2d", { willReadFrequently: true });
    drawing.drawImage(image, 0, 0);
    return drawing.getImageData(0, 0, canvas.width, canvas.height).data;
  }

  // Blend the images of the four nodes around a point. For each pixel of an image, the picture holds
  // a block with that pixel's value at every node: neighboring nodes are similar, so this compresses
  // best.
  async function loadNodes() {
    const { columns, rows } = data.nodes;
    const size = width * height * channels;
    const levels = await pixelsOf(data.nodes.picture);
    const nodes = new Uint8Array(columns * rows * size); // one node's image after another
    const across = width * columns;
    for (let node = 0, to = 0; node < columns * rows; node++) {
      const row = Math.floor(node / columns);
      const column = node % columns;
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const from = 4 * ((y * rows + row) * across + x * columns + column);
          for (let channel = 0; channel < channels; channel++) nodes[to++] = levels[from + channel];
        }
      }
    }
    levelsAt = (p) => {
      const [column, dx, nextColumn] = placed(p.x, left, right, columns);
      const [row, dy, nextRow] = placed(p.y, bottom, top, rows);
      const corners = [
        [row, column, (1 - dy) * (1 - dx)],
        [row, nextColumn, (1 - dy) * dx],
        [nextRow, column, dy * (1 - dx)],
        [nextRow, nextColumn, dy * dx],
      ].map(([r, c, weight]) => [(r * columns + c) * size, weight]);
      return (pixel, color) => {
        const value = channels * pixel + (channels === 3 ? color : 0);
        let level = 0;
        for (const [start, weight] of corners) level += weight * nodes[start + value];
        return level;
      };
    };
  }

  // Return the node before a coordinate, the distance beyond it, and the node after.
  function placed(value, low, high, count) {
    const position = ((value - low) / (high - low)) * (count - 1) || 0;
    const before = clamp(Math.floor(position), 0, Math.max(0, count - 2));
    return [before, position - before, Math.min(before + 1, count - 1)];
  }

  // Draw the image at the shown point.
  function drawImage() {
    if (!levelsAt) return;
    const level = levelsAt(shown);
    for (let pixel = 0; pixel < width * height; pixel++) {
      for (let color = 0; color < 3; color++) pixels.data[4 * pixel + color] = level(pixel, color);
      pixels.data[4 * pixel + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
  }

  // The map

  const drawing = map.getContext("2d");
  const backdrop = document.createElement("canvas"); // the part that does not change as the pointer moves
  let box = { left: 0, top: 0, width: 1, height: 1 }; // the window's place within the map, in pixels

  const toScreen = (p) => ({
    x: box.left + ((p.x - left) / (right - left)) * box.width,
    y: box.top + ((top - p.y) / (top - bottom)) * box.height,
  });
  const toMap = (x, y) =>
    inside({
      x: left + ((x - box.left) / box.width) * (right - left),
      y: top - ((y - box.top) / box.height) * (top - bottom),
    });
  const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  function prepare(canvas) {
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(map.clientWidth * scale);
    canvas.height = Math.round(map.clientHeight * scale);
    canvas.getContext("2d").setTransform(scale, 0, 0, scale, 0, 0);
  }

  function resize() {
    if (map.clientWidth === 0 || map.clientHeight === 0) return; // not visible
    prepare(map);
    prepare(backdrop);
    const margin = { left: flat ? 12 : 44, right: 12, top: 14, bottom: 42 };
    box = {
      left: margin.left,
      top: margin.top,
      width: map.clientWidth - margin.left - margin.right,
      height: map.clientHeight - margin.top - margin.bottom,
    };
    drawBackdrop();
    drawMap();
  }

  function drawBackdrop() {
    const on = backdrop.getContext("2d");
    on.clearRect(0, 0, map.clientWidth, map.clientHeight);
    drawAxes(on);
    on.save();
    on.beginPath();
    on.rect(box.left, box.top, box.width, box.height);
    on.clip();
    drawPrior(on, true);
    drawPoints(on);
    drawPrior(on, false);
    on.restore();
  }

  // Return about six round numbers from low to high, with their labels.
  function ticks(low, high) {
    const rough = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const found = [];
    for (let k = Math.ceil(low / step); k * step <= high; k++) {
      found.push([k * step, (k * step).toFixed(digits).replace("-", "−").replace(/^−(0\.?0*)$/, "$1")]);
    }
    return found;
  }

  function drawAxes(on) {
    on.font = "12px system-ui, sans-serif";
    on.fillStyle = color("quiet");
    on.strokeStyle = color("line");
    on.lineWidth = 1;
    on.beginPath();
    on.textAlign = "center";
    on.textBaseline = "top";
    for (const [value, name] of ticks(left, right)) {
      const { x } = toScreen({ x: value, y: bottom });
      on.moveTo(x, box.top);
      on.lineTo(x, box.top + box.height);
      on.fillText(name, x, box.top + box.height + 4);
    }
    on.fillText(data.names[0], box.left + box.width / 2, box.top + box.height + 20);
    if (!flat) {
      on.textAlign = "right";
      on.textBaseline = "middle";
      for (const [value, name] of ticks(bottom, top)) {
        const { y } = toScreen({ x: left, y: value });
        on.moveTo(box.left, y);
        on.lineTo(box.left + box.width, y);
        on.fillText(name, box.left - 5, y);
      }
      on.save();
      on.translate(12, box.top + box.height / 2);
      on.rotate(-Math.PI / 2);
      on.textAlign = "center";
      on.fillText(data.names[1], 0, 0);
      on.restore();
    }
    on.stroke();
  }

  // Draw the prior's mass: as a tint behind the points, or as a labeled outline over them.
  function drawPrior(on, tint) {
    on.fillStyle = on.strokeStyle = color("ink");
    for (const region of data.prior) {
      on.beginPath();
      for (const line of region.lines) {
        line.forEach(([x, y], i) => {
          const at = toScreen({ x, y });
          if (i === 0) on.moveTo(at.x, at.y);
          else on.lineTo(at.x, at.y);
        });
      }
      if (tint) {
        on.globalAlpha = 0.07;
        on.fill("evenodd");
      } else {
        on.lineWidth = 1.5;
        on.setLineDash([6, 4]);
        on.stroke();
        on.setLineDash([]);
        drawRegionName(on, region);
      }
      on.globalAlpha = 1;
    }
  }

  // Label a region at the highest visible point of its outline.
  function drawRegionName(on, region) {
    const seen = region.lines
      .flat()
      .map(([x, y]) => toScreen({ x, y }))
      .filter((p) => p.x > box.left + 60 && p.x < box.left + box.width - 60 && p.y > box.top + 8);
    if (seen.length === 0) return;
    const at = seen.reduce((a, b) => (b.y < a.y ? b : a));
    on.font = "12px system-ui, sans-serif";
    on.textAlign = "center";
    on.textBaseline = "middle";
    on.lineWidth = 4;
    on.strokeStyle = color("panel");
    on.strokeText(region.name, at.x, at.y);
    on.fillText(region.name, at.x, at.y);
    on.strokeStyle = color("ink");
  }

  const SHAPES = {
    o: (on, x, y, r) => on.arc(x, y, r, 0, 2 * Math.PI),
    s: (on, x, y, r) => on.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r),
    "^": (on, x, y, r) => {
      on.moveTo(x, y - 1.2 * r);
      on.lineTo(x + 1.1 * r, y + 0.8 * r);
      on.lineTo(x - 1.1 * r, y + 0.8 * r);
      on.closePath();
    },
  };

  const radius = () => clamp(box.width / 220, 1.8, 3.2) * (data.points.x.length < 500 ? 1.5 : 1);

  function drawPoints(on) {
    const r = radius();
    on.globalAlpha = 0.8;
    data.points.x.forEach((x, i) => {
      const group = data.points.group[i];
      if (hidden.has(group)) return;
      const at = toScreen({ x, y: data.points.y[i] });
      on.fillStyle = data.groups[group].color;
      on.beginPath();
      SHAPES[data.groups[group].marker](on, at.x, at.y, r);
      on.fill();
    });
    on.globalAlpha = 1;
  }

  function drawMap() {
    drawing.clearRect(0, 0, map.clientWidth, map.clientHeight);
    drawing.drawImage(backdrop, 0, 0, map.clientWidth, map.clientHeight);
    drawPath();
    if (near >= 0) ring(pointAt(near), radius() + 3, color("ink"));
    drawPointer();
  }

  function drawPath() {
    if (ends.length === 0) return;
    const [first, second] = ends.map(toScreen);
    if (second) {
      for (const [wide, name] of [[5, "paper"], [2.5, "accent"]]) {
        drawing.beginPath();
        drawing.moveTo(first.x, first.y);
        drawing.lineTo(second.x, second.y);
        drawing.lineWidth = wide;
        drawing.strokeStyle = color(name);
        drawing.stroke();
      }
    }
    [first, second].forEach((at, i) => at && drawEnd(at, "AB"[i]));
  }

  function drawEnd(at, name) {
    drawing.beginPath();
    drawing.arc(at.x, at.y, 9, 0, 2 * Math.PI);
    drawing.fillStyle = color("accent");
    drawing.fill();
    drawing.fillStyle = color("on-accent");
    drawing.font = "bold 12px system-ui, sans-serif";
    drawing.textAlign = "center";
    drawing.textBaseline = "middle";
    drawing.fillText(name, at.x, at.y + 0.5);
  }

  function ring(p, r, stroke) {
    const at = toScreen(p);
    for (const [wide, style] of [[4.5, color("paper")], [2, stroke]]) {
      drawing.beginPath();
      drawing.arc(at.x, at.y, r, 0, 2 * Math.PI);
      drawing.lineWidth = wide;
      drawing.strokeStyle = style;
      drawing.stroke();
    }
  }

  function drawPointer() {
    const at = toScreen(shown);
    for (const [wide, style] of [[4, color("paper")], [1.5, color("ink")]]) {
      drawing.beginPath();
      for (const [x, y] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        drawing.moveTo(at.x + 5 * x, at.y + 5 * y);
        drawing.lineTo(at.x + 15 * x, at.y + 15 * y);
      }
      drawing.lineWidth = wide;
      drawing.strokeStyle = style;
      drawing.stroke();
    }
    ring(shown, 5, color("ink"));
  }

  // The text beside the image

  const pointAt = (i) => ({ x: data.points.x[i], y: data.points.y[i] });
  const number = (value) => {
    const text = value.toFixed(data.digits);
    return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
  };
  const placeName = () => {
    const values = flat ? [shown.x] : [shown.x, shown.y];
    return values.map((value, i) => `${data.short[i]}\u00a0=\u00a0${number(value)}`).join(", ");
  };
  const nearName = () => (near < 0 ? "" : data.groups[data.points.group[near]].name);

  function nearest() {
    const at = toScreen(shown);
    let best = -1;
    let least = REACH ** 2;
    data.points.x.forEach((_, i) => {
      if (hidden.has(data.points.group[i])) return;
      const p = toScreen(pointAt(i));
      const distance = (p.x - at.x) ** 2 + (p.y - at.y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    });
    return best;
  }

  function write() {
    near = nearest();
    find(".place").textContent = placeName();
    const name = nearName();
    find(".near-name").textContent =
      near < 0 ? "There is no test image here." : name ? `Near a test image: ${name}` : "Near a test image";
    drawOriginal();
    announce();
  }

  let saying = 0;
  function announce() {
    clearTimeout(saying);
    saying = setTimeout(() => {
      const name = nearName();
      find(".announcement").textContent = placeName() + (name ? `, near ${name}` : "");
    }, 400); // once the pointer stops
  }

  const originals = new Image();
  const original = find(".original");
  function drawOriginal() {
    const sheet = data.originals;
    original.hidden = !sheet || near < 0 || near >= sheet.count || !originals.complete;
    if (original.hidden) return;
    original.width = sheet.width;
    original.height = sheet.height;
    const x = (near % sheet.columns) * sheet.width;
    const y = Math.floor(near / sheet.columns) * sheet.height;
    original
      .getContext("2d")
      .drawImage(originals, x, y, sheet.width, sheet.height, 0, 0, sheet.width, sheet.height);
  }

  // Movement

  let frame = 0;
  let before = 0;
  function wake() {
    if (frame) return;
    before = performance.now();
    frame = requestAnimationFrame(step);
  }

  function step(now) {
    frame = 0;
    const elapsed = Math.max(0, now - before);
    before = now;
    if (playing) advance(elapsed);
    const part = playing || stillness.matches ? 1 : 1 - Math.exp(-elapsed / EASE_MILLISECONDS);
    const close =
      Math.abs(wanted.x - shown.x) < (right - left) / 5000 &&
      Math.abs(wanted.y - shown.y) < (top - bottom) / 5000;
    shown = close ? { ...wanted } : between(shown, wanted, part);
    render();
    if (playing || shown.x !== wanted.x || shown.y !== wanted.y) frame = requestAnimationFrame(step);
  }

  function render() {
    drawImage();
    write();
    drawMap();
  }

  let traveled = 0;
  function advance(elapsed) {
    traveled = Math.min(1, traveled + elapsed / 1000 / PATH_SECONDS);
    const t = stillness.matches ? Math.floor(traveled * STILL_STEPS) / STILL_STEPS : traveled;
    goAlong(t);
    if (traveled === 1) pause();
  }

  function goAlong(t) {
    along = t;
    slider.value = t;
    wanted = between(ends[0], ends[1], t);
  }

  function moveTo(p) {
    wanted = inside(p);
    wake();
  }

  // The path

  function setEnds(points, start) {
    pause();
    ends = points;
    along = traveled = 0;
    slider.value = 0;
    slider.disabled = buttons.play.disabled = ends.length < 2;
    buttons.clear.disabled = ends.length === 0;
    if (start && ends.length === 2) play();
    wake();
  }

  function addEnd(p) {
    if (playing) pause();
    else setEnds(ends.length === 1 ? [ends[0], p] : [p], !stillness.matches);
  }

  function play() {
    if (along >= 1) along = 0;
    traveled = along;
    playing = true;
    buttons.play.textContent = "Pause";
    wake();
  }

  function pause() {
    playing = false;
    buttons.play.textContent = "Play";
  }

  // Choose two points, of different groups if there is more than one group.
  function randomEnds() {
    const count = data.points.x.length;
    const any = () => Math.floor(Math.random() * count);
    const first = any();
    let second = any();
    for (let tries = 0; tries < 200; tries++) {
      const same = data.points.group[first] === data.points.group[second];
      if (second !== first && !(same && data.groups.length > 1)) break;
      second = any();
    }
    return [pointAt(first), pointAt(second)];
  }

  // Input

  const eventPoint = (event) => {
    const place = map.getBoundingClientRect();
    return toMap(event.clientX - place.left, event.clientY - place.top);
  };
  let pressed = null; // where the press began, to tell a click from a drag
  map.addEventListener("pointerdown", (event) => {
    pressed = { x: event.clientX, y: event.clientY };
    map.setPointerCapture(event.pointerId);
    if (!playing) moveTo(eventPoint(event));
  });
  map.addEventListener("pointermove", (event) => {
    if (!playing) moveTo(eventPoint(event));
  });
  map.addEventListener("click", (event) => {
    const moved = pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y);
    if (!(moved > DRAG)) addEnd(eventPoint(event));
  });

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
  map.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const arrow = ARROWS[event.key];
    if (arrow) {
      pause();
      const share = event.shiftKey ? 0.1 : 0.02;
      moveTo({
        x: wanted.x + arrow[0] * share * (right - left),
        y: wanted.y + arrow[1] * share * (top - bottom),
      });
    } else if (event.key === "Enter") addEnd({ ...wanted });
    else if (event.key === "Escape") setEnds([], false);
    else return;
    event.preventDefault();
  });

  buttons.random.addEventListener("click", () => setEnds(randomEnds(), !stillness.matches));
  buttons.play.addEventListener("click", () => (playing ? pause() : play()));
  buttons.clear.addEventListener("click", () => setEnds([], false));
  slider.addEventListener("input", () => {
    pause();
    goAlong(Number(slider.value));
    wake();
  });

  // The legend

  function symbol(group) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const path = document.createElementNS(space, "path");
    const outlines = { o: "M1 6a5 5 0 1 0 10 0a5 5 0 1 0-10 0", s: "M1 1h10v10H1z", "^": "M6 1L11 11H1z" };
    svg.setAttribute("viewBox", "0 0 12 12");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", outlines[group.marker]);
    path.setAttribute("fill", group.color);
    svg.append(path);
    return svg;
  }

  function toggle(button, k) {
    if (!hidden.delete(k)) hidden.add(k);
    button.setAttribute("aria-pressed", String(!hidden.has(k)));
    drawBackdrop();
    render();
  }

  function fillLegend() {
    const named = data.groups.length > 1 || data.groups[0].name;
    buttons.random.textContent = data.groups.length > 1 ? "Path between classes" : "Random path";
    find(".legend-box").hidden = !named;
    find(".legend-title").textContent = "Classes (click to hide)";
    if (!named) return;
    data.groups.forEach((group, k) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(symbol(group), group.name);
      button.addEventListener("click", () => toggle(button, k));
      const item = document.createElement("li");
      item.append(button);
      find(".legend").append(item);
    });
  }

  fillLegend();
  new ResizeObserver(resize).observe(map);
  darkness.addEventListener("change", resize);
  if (data.originals) {
    originals.onload = render;
    originals.src = data.originals.picture;
  }
  root.explorer = {
    ready: Promise.resolve(data.decoder ? loadDecoder() : loadNodes()).then(render),
    redraw: resize,
    moveTo: (x, y) => moveTo({ x, y }),
    state: () => ({ ...shown, along, playing, ends: ends.length, near }),
  };
})();
