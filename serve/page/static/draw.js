// Small pictures as SVG: axes with round numbers, curves, bands, images, maps.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 58, right: 12, top: 8, bottom: 40 };
// Viridis at equal steps, as red, green, blue.
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129],
  [92, 200, 99], [170, 220, 50], [253, 231, 37]];

export function element(name, attributes = {}, text = null) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}

/** Round numbers between two ends, about `count` of them. */
export function ticks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) found.push(k * step);
  return found;
}

/** A tick's number as text: no trailing noise, a power of ten where it would be long. */
export function label(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1).replace(".0e", "e").replace("e+", "e");
  return String(Number(value.toPrecision(6)));
}

/** Factor and prefix that bring a largest value between 1 and 1000. */
export function prefix(largest) {
  const known = [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];
  return known.find(([size]) => largest >= size) ?? known.at(-1);
}

export function colour(part) {
  const place = Math.min(Math.max(part, 0), 1) * (VIRIDIS.length - 1);
  const first = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return VIRIDIS[first].map((value, k) => Math.round(value + (place - first) * (VIRIDIS[first + 1][k] - value)));
}

/** An empty picture with axes; `x` and `y` take a value to its place. */
export function axes(width, height, { x, y, xLabel, yLabel, title }) {
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  const right = width - MARGIN.right;
  const bottom = height - MARGIN.bottom;
  const place = {
    x: (value) => MARGIN.left + ((value - x[0]) / (x[1] - x[0])) * (right - MARGIN.left),
    y: (value) => bottom - ((value - y[0]) / (y[1] - y[0])) * (bottom - MARGIN.top),
  };
  for (const value of ticks(x[0], x[1], width / 90)) {
    svg.append(element("path", { class: "axis", d: `M${place.x(value)},${bottom}v5` }));
    svg.append(element("text", { x: place.x(value), y: bottom + 18, "text-anchor": "middle" }, label(value)));
  }
  for (const value of ticks(y[0], y[1], height / 45)) {
    svg.append(element("path", { class: "axis", d: `M${MARGIN.left},${place.y(value)}h-5` }));
    svg.append(element("text", { x: MARGIN.left - 8, y: place.y(value) + 4, "text-anchor": "end" }, label(value)));
  }
  const frame = { class: "frame", x: MARGIN.left, y: MARGIN.top, width: right - MARGIN.left, height: bottom - MARGIN.top };
  svg.append(element("rect", frame));
  const middle = (MARGIN.top + bottom) / 2;
  svg.append(element("text", { x: (MARGIN.left + right) / 2, y: height - 4, "text-anchor": "middle" }, xLabel));
  const turned = { transform: `translate(13,${middle}) rotate(-90)`, "text-anchor": "middle" };
  svg.append(element("text", turned, yLabel));
  return { svg, place, frame };
}

/** A curve's path; a missing value (null) interrupts it. */
export function path(place, xs, ys) {
  let d = "";
  let pen = "M";
  xs.forEach((x, k) => {
    if (ys[k] === null) { pen = "M"; return; }
    d += `${pen}${place.x(x).toFixed(1)},${place.y(ys[k]).toFixed(1)}`;
    pen = "L";
  });
  return d;
}

export function curve(picture, xs, ys, kind = "") {
  picture.svg.append(element("path", { class: `curve ${kind}`, d: path(picture.place, xs, ys) }));
}

export function band(picture, xs, lower, upper) {
  const there = path(picture.place, xs, upper);
  const back = path(picture.place, [...xs].reverse(), [...lower].reverse()).replace("M", "L");
  picture.svg.append(element("path", { class: "band", d: `${there}${back}Z` }));
}

export function dots(picture, xs, ys) {
  const radius = xs.length > 100 ? 1.5 : 2.5;
  xs.forEach((x, k) => {
    if (ys[k] === null) return;
    const at = { cx: picture.place.x(x).toFixed(1), cy: picture.place.y(ys[k]).toFixed(1), r: radius };
    picture.svg.append(element("circle", { class: "dot", ...at }));
  });
}

/** Rows of values as an image over the whole frame, the first row at the bottom. */
export function image(picture, rows) {
  const values = rows.flat();
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  const canvas = document.createElement("canvas");
  canvas.width = rows[0].length;
  canvas.height = rows.length;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(canvas.width, canvas.height);
  rows.forEach((row, r) => row.forEach((value, c) => {
    const at = 4 * ((rows.length - 1 - r) * row.length + c);
    pixels.data.set([...colour((value - low) / (high - low || 1)), 255], at);
  }));
  context.putImageData(pixels, 0, 0);
  const { x, y, width, height } = picture.frame;
  const where = { href: canvas.toDataURL(), x, y, width, height, preserveAspectRatio: "none" };
  picture.svg.append(element("image", where));
  return [low, high];
}

/** Smallest and largest of some curves, with a little room, and never nothing. */
export function range(...curves) {
  let low = Infinity;
  let high = -Infinity;
  for (const values of curves) {
    for (const value of values ?? []) {
      if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
    }
  }
  if (!(high > low)) { const middle = Number.isFinite(low) ? low : 0; return [middle - 1, middle + 1]; }
  const room = 0.06 * (high - low);
  return [low - room, high + room];
}
