// A waveform's answer: class and probabilities, record, spectrogram.

import { axes, curve, image, prefix, range } from "./draw.js";
import { add, figure, widthOf } from "./parts.js";

const percent = (value) => `${(100 * value).toFixed(1)} %`;

export function showWaveform(section, answer, title) {
  add(section, "h2", title);
  if (answer.valid) {
    const best = answer.probabilities.find((entry) => entry.name === answer.class_name);
    const line = add(section, "p", "", "result");
    add(line, "b", answer.class_name);
    line.append(`, probability ${percent(best.value)}`);
    if (answer.note) add(section, "p", `This record was ${answer.note}.`, "warning");
    showProbabilities(section, answer.probabilities);
  } else {
    add(section, "p", answer.reason, "warning");
  }
  const grid = add(section, "div", "", "grid");
  showRecord(grid, answer.waveform, title);
  showSpectrogram(grid, answer.spectrogram, title);
}

function showProbabilities(section, entries) {
  const table = add(section, "table");
  table.setAttribute("aria-label", "Probabilities of the classes");
  for (const entry of entries) {
    const row = add(table, "tr");
    const name = add(row, "th", entry.name);
    name.scope = "row";
    const bar = add(add(row, "td", "", "bar"), "div");
    bar.style.width = `${100 * entry.value}%`;
    const spread = entry.spread === null ? "" : ` ± ${percent(entry.spread)}`;
    add(row, "td", percent(entry.value) + spread, "number");
  }
}

function showRecord(grid, waveform, title) {
  const held = figure(grid, "Record", "trend removed, as the model sees it");
  const [size, letter] = prefix(waveform.time_s.at(-1));
  const times = waveform.time_s.map((value) => value / size);
  const picture = axes(widthOf(held), 260, {
    x: [times[0], times.at(-1)],
    y: range(waveform.values),
    xLabel: `time after the first sample (${letter}s)`,
    yLabel: waveform.unit || "amplitude",
    title: `Record ${title}: ${waveform.values.length} values over ${times.at(-1).toPrecision(4)} ${letter}s`,
  });
  curve(picture, times, waveform.values);
  held.append(picture.svg);
}

function showSpectrogram(grid, spectrogram, title) {
  const held = figure(grid, "Spectrogram", `${spectrogram.unit}, bright is strong`);
  const [timeSize, timeLetter] = prefix(spectrogram.time_s[1]);
  const [rateSize, rateLetter] = prefix(spectrogram.frequency_hz[1]);
  const picture = axes(widthOf(held), 260, {
    x: spectrogram.time_s.map((value) => value / timeSize),
    y: spectrogram.frequency_hz.map((value) => value / rateSize),
    xLabel: `time after the first sample (${timeLetter}s)`,
    yLabel: `frequency (${rateLetter}Hz)`,
    title: `Spectrogram of ${title}`,
  });
  const [low, high] = image(picture, spectrogram.values);
  held.append(picture.svg);
  add(held, "small", `from ${low.toFixed(1)} (dark) to ${high.toFixed(1)} (bright)`, "hint");
}
