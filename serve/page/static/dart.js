// A tsunami's answer: magnitude, buoys' records with the fit, map of the slip, the wave to come.

import { axes, band, colour, curve, dots, element, range, ticks } from "./draw.js";
import { add, figure, table, widthOf } from "./parts.js";

const minutesOf = (values) => values.map((_, minute) => minute);

export function showDart(section, answer, title) {
  add(section, "h2", title);
  showRecords(section, answer);
  if (!answer.valid) {
    add(section, "p", `No magnitude is given: ${answer.reason}.`, "warning");
    const grid = add(section, "div", "", "grid");
    for (const buoy of answer.buoys) showBuoy(grid, answer, buoy);
    return;
  }
  const line = add(section, "p", "", "result");
  add(line, "b", `Mw ${answer.mw.toFixed(2)}`);
  if (answer.mw_interval) line.append(` (${range80(answer)})`);
  if (answer.mw_truth !== null) line.append(`, simulated with ${answer.mw_truth.toFixed(2)}`);
  if (answer.intervals_reason) add(section, "p", `${capital(answer.intervals_reason)}.`, "warning");
  if (answer.outside) add(section, "p", `Perhaps outside the region that the model knows: ${answer.region}.`, "warning");
  const grid = add(section, "div", "", "grid");
  const buoys = add(grid, "div");
  for (const buoy of answer.buoys) showBuoy(buoys, answer, buoy);
  showMap(add(grid, "div"), answer);
  add(section, "h2", "The wave to come");
  showKey(section, answer);
  const waves = add(section, "div", "", "grid");
  for (const forecast of answer.forecast) showForecast(waves, answer, forecast);
  const slips = answer.map.sources.map((source) => [source.name, source.slip_m.toFixed(2)]);
  table(section, "Slip on each unit source", ["unit source", "slip (m)"], slips);
}

/** Which buoys the answer rests on, and what of the files does not count. */
function showRecords(section, answer) {
  const used = answer.buoys_used.join(", ") || "none";
  add(section, "p", `Buoys with samples in the window: ${used}.`, "buoys");
  for (const text of answer.left_out) add(section, "p", `Left out: ${text}`, "warning");
  for (const text of answer.notes) add(section, "p", `Note: ${text}`, "note");
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function range80(answer) {
  const [lower, upper] = answer.mw_interval.map((value) => value.toFixed(2));
  return `${Math.round(100 * answer.level)} %: ${lower} to ${upper}`;
}

function showBuoy(grid, answer, buoy) {
  const held = figure(grid, `Buoy ${buoy.name}`, answer.valid ? "dots: record, line: fit" : "dots: record");
  const fit = answer.valid && answer.forecast.find((entry) => entry.gauge === buoy.name);
  const shown = fit ? fit.values.slice(0, answer.window_min + 1) : [];
  const missing = buoy.values.filter((value) => value === null).length;
  const picture = axes(widthOf(held), 200, {
    x: [0, answer.window_min],
    y: range(buoy.values, shown),
    xLabel: "minutes after the origin",
    yLabel: "water column (m)",
    title: `Buoy ${buoy.name}: ${buoy.values.length - missing} samples, ${missing} missing${fit ? ", and the fitted wave" : ""}`,
  });
  dots(picture, buoy.minute, buoy.values);
  curve(picture, minutesOf(shown), shown);
  held.append(picture.svg);
}

function showForecast(grid, answer, forecast) {
  const peak = Math.max(...forecast.values);
  const minute = forecast.values.indexOf(peak);
  const held = figure(grid, `Gauge ${forecast.gauge}`, `highest ${peak.toFixed(2)} m after ${minute} min`);
  const minutes = minutesOf(forecast.values);
  const picture = axes(widthOf(held), 200, {
    x: [0, minutes.length - 1],
    y: range(forecast.values, forecast.lower, forecast.upper, forecast.truth),
    xLabel: "minutes after the origin",
    yLabel: "water column (m)",
    title: `Forecast at gauge ${forecast.gauge}: highest ${peak.toFixed(2)} m after ${minute} minutes`,
  });
  if (forecast.lower) band(picture, minutes, forecast.lower, forecast.upper);
  if (forecast.truth) curve(picture, minutes, forecast.truth, "true");
  curve(picture, minutes, forecast.values);
  held.append(picture.svg);
}

function showKey(section, answer) {
  const key = add(section, "p", "", "key");
  const entries = [["curve", "forecast"]];
  if (answer.level !== null) entries.push(["band", `${Math.round(100 * answer.level)} % band`]);
  if (answer.mw_truth !== null) entries.push(["curve true", "simulated wave"]);
  for (const [kind, text] of entries) {
    const entry = add(key, "span");
    const svg = element("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" });
    svg.append(element("path", { class: kind, d: kind === "band" ? "M0,1h26v10h-26Z" : "M0,6h26" }));
    entry.append(svg, text);
  }
}

function showMap(grid, answer) {
  const drawn = answer.map.sources.filter((source) => source.corners !== null);
  if (drawn.length === 0) return;
  const most = Math.max(...drawn.map((source) => source.slip_m));
  const held = figure(grid, "Slip", `brightest ${most.toFixed(1)} m; points are gauges`);
  const corners = drawn.flatMap((source) => source.corners);
  const near = answer.map.gauges.filter((gauge) => answer.buoys.some((buoy) => buoy.name === gauge.name));
  const points = [...corners, ...near.map((gauge) => gauge.lonlat)];
  const lat = spread(points.map((point) => point[1]), 0.5);
  const lon = spread(points.map((point) => point[0]), 1);
  const width = widthOf(held);
  const strongest = drawn.reduce((best, source) => (source.slip_m > best.slip_m ? source : best));
  // A degree of longitude is shorter than one of latitude: the frame's sides get the true proportion.
  const middle = Math.cos(((lat[0] + lat[1]) / 2) * (Math.PI / 180));
  const plot = Math.min(width - 70, ((460 - 48) * (lon[1] - lon[0]) * middle) / (lat[1] - lat[0]));
  const height = (plot * (lat[1] - lat[0])) / ((lon[1] - lon[0]) * middle) + 48;
  const picture = axes(plot + 70, height, {
    x: lon.map((value) => value - 360), y: lat, xLabel: "longitude (°E)", yLabel: "latitude (°N)",
    title: `Map of slip on ${drawn.length} unit sources, most on ${strongest.name}: ${most.toFixed(1)} m`,
  });
  picture.svg.style.maxWidth = `${plot + 70}px`;
  const { x, y, width: w, height: h } = picture.frame;
  const clip = element("clipPath", { id: "map-frame" });
  clip.append(element("rect", { x, y, width: w, height: h }));
  const inside = element("g", { "clip-path": "url(#map-frame)" });
  picture.svg.append(clip, inside);
  const at = ([east, north]) => `${picture.place.x(east - 360).toFixed(1)},${picture.place.y(north).toFixed(1)}`;
  for (const source of drawn) {
    const fill = `rgb(${colour(most > 0 ? source.slip_m / most : 0).join(",")})`;
    const shape = element("polygon", { class: "source", fill, points: source.corners.map(at).join(" ") });
    shape.append(element("title", {}, `${source.name}: ${source.slip_m} m`));
    inside.append(shape);
  }
  for (const coast of answer.map.coast) {
    inside.append(element("polyline", { class: "coast", points: coast.map(at).join(" ") }));
  }
  for (const gauge of near) {
    const [cx, cy] = at(gauge.lonlat).split(",");
    inside.append(element("circle", { class: "buoy", cx, cy, r: 5 }));
    inside.append(element("text", { class: "name", x: Number(cx) + 8, y: Number(cy) + 4 }, gauge.name));
  }
  held.append(picture.svg);
  addScale(held, most);
}

function spread(values, room) {
  return [Math.min(...values) - room, Math.max(...values) + room];
}

function addScale(held, most) {
  const svg = element("svg", { viewBox: "0 0 280 34", role: "img", "aria-label": `Colours from 0 to ${most.toFixed(1)} m` });
  svg.style.maxWidth = "280px";
  for (let k = 0; k < 50; k += 1) {
    const fill = `rgb(${colour(k / 49).join(",")})`;
    svg.append(element("rect", { x: 10 + 4.4 * k, y: 2, width: 4.6, height: 12, fill }));
  }
  for (const value of ticks(0, most || 1, 4)) {
    const x = 10 + (220 * value) / (most || 1);
    svg.append(element("text", { x, y: 29, "text-anchor": "middle" }, value.toFixed(1)));
  }
  svg.append(element("text", { x: 240, y: 13 }, "m"));
  held.append(svg);
}
