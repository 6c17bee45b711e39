"use strict";
// Sorts tables by a column, and shows a figure's values under the pointer. The page says everything without it.
(() => {
  const factors = { ns: 1, "µs": 1e3, ms: 1e6, s: 1e9 };

  // The number that a cell begins with, times in nanoseconds; NaN for words.
  function number(text) {
    const plain = text.replace(/[\u2009\u202f]/g, "").replace(/−/g, "-").trim();
    const found = /^[±+]?(-?\d+(?:\.\d+)?)\s*(ns|µs|ms|s)?(?![\w])/.exec(plain);
    return found ? Number(found[1]) * (factors[found[2]] || 1) : NaN;
  }

  // The cell that stands in a column, though others may span several.
  function cellAt(row, column) {
    let at = 0;
    for (const cell of row.cells) {
      if (at === column) return cell.colSpan === 1 ? cell : null;
      at += cell.colSpan;
    }
    return null;
  }

  function compare(a, b) {
    const [x, y] = [number(a), number(b)];
    if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return a.localeCompare(b);
  }

  function sortBy(table, head, column) {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = Array.from(body.rows).map((row) => [row, cellAt(row, column)]);
    rows.sort(([, a], [, b]) => {
      // What has no such cell, or no value in it, stays last either way.
      const [x, y] = [a, b].map((cell) => (cell ? cell.textContent.trim() : ""));
      const [noX, noY] = [x, y].map((text) => text === "" || text === "–");
      if (noX || noY) return noX - noY;
      return (down ? -1 : 1) * compare(x, y);
    });
    body.append(...rows.map(([row]) => row));
  }

  for (const table of document.querySelectorAll("table")) {
    if (!table.tHead || !table.tBodies.length || table.tBodies[0].rows.length < 2) continue;
    Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.setAttribute("aria-label", "sort by " + head.textContent.trim());
      button.addEventListener("click", () => sortBy(table, head, column));
      head.append(button);
    });
  }

  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);

  // The point of a panel that is nearest to a place, both in the figure's own lengths.
  function nearest(panels, x, y, reach) {
    let best = null;
    for (const panel of panels) {
      const [left, top, right, bottom] = panel.area;
      if (x < left - reach || x > right + reach || y < top - reach || y > bottom + reach) continue;
      for (const series of panel.series) {
        for (const point of series.points) {
          const far = Math.hypot(point[0] - x, point[1] - y);
          if (far <= reach && (!best || far < best.far)) best = { far, panel, series, point };
        }
      }
    }
    return best;
  }

  function show(svg, ring, found, event) {
    ring.setAttribute("cx", found.point[0]);
    ring.setAttribute("cy", found.point[1]);
    ring.setAttribute("visibility", "visible");
    tip.replaceChildren();
    const name = document.createElement("strong");
    name.textContent = found.series.name;
    tip.append(name);
    for (const [title, value] of [[found.panel.x, found.point[2]], [found.panel.y, found.point[3]]]) {
      const line = document.createElement("div");
      line.textContent = title ? title + ": " + value : value;
      tip.append(line);
    }
    tip.hidden = false;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, room)) + "px";
    const below = event.clientY + 16;
    const fits = below + tip.offsetHeight < document.documentElement.clientHeight;
    tip.style.top = (fits ? below : event.clientY - tip.offsetHeight - 12) + "px";
  }

  for (const data of document.querySelectorAll("script[type='application/json'][data-figure]")) {
    const svg = document.querySelector("#figure-" + data.dataset.figure + " svg");
    if (!svg) continue;
    const panels = JSON.parse(data.textContent);
    const ring = document.createElementNS(svg.namespaceURI, "circle");
    ring.setAttribute("class", "ring");
    ring.setAttribute("r", "9");
    ring.setAttribute("visibility", "hidden");
    svg.append(ring);
    const hide = () => {
      ring.setAttribute("visibility", "hidden");
      tip.hidden = true;
    };
    const at = (event) => {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      // Reach as far as a fingertip, however small the figure is shown.
      const reach = 26 * (svg.viewBox.baseVal.width / svg.clientWidth);
      const found = nearest(panels, place.x, place.y, reach);
      if (found) show(svg, ring, found, event);
      else hide();
    };
    svg.addEventListener("pointermove", at);
    svg.addEventListener("pointerdown", at);
    svg.addEventListener("pointerleave", hide);
  }
})();
