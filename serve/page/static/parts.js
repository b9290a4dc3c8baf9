// Pieces of the answer that both tasks have.

export function add(parent, name, text = "", className = "") {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  parent.append(made);
  return made;
}

export function figure(parent, title, note = "") {
  const made = add(parent, "figure");
  const caption = add(made, "figcaption", title);
  if (note) add(caption, "small", ` ${note}`);
  return made;
}

/** Width for a picture inside an element, in its own units: one a pixel, so that text keeps its size. */
export function widthOf(parent) {
  return Math.max(280, Math.round(parent.getBoundingClientRect().width));
}

/** A table of values behind a summary, for those who can't see the picture or want the numbers. */
export function table(parent, summary, head, rows) {
  const details = add(parent, "details");
  add(details, "summary", summary);
  const made = add(details, "table");
  const first = add(made, "tr");
  for (const name of head) add(first, "th", name);
  for (const row of rows) {
    const line = add(made, "tr");
    row.forEach((value, k) => add(line, "td", String(value), k ? "number" : ""));
  }
}
