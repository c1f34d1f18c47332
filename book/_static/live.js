/* What the figures share that can be moved: elements, controls, a chart.  Plain SVG and JavaScript; book.js loads this file, and
   live/NAME.js with its data, when a figure comes near the screen.

   A figure is   hkt.figures.NAME = {compute: {…pure functions…}, draw: function (root, data, ui) {…}};
   its data come from `show.figure(…, live=("NAME", {…}))`; tests call `compute` in the browser beside the Python function. */
(function () {
  "use strict";
  var NS = "http://www.w3.org/2000/svg", SHAPES = /^(svg|g|rect|line|path|circle|text|tspan|polygon|polyline|image|title|desc|defs|marker|clipPath)$/;
  var hkt = window.hkt = window.hkt || {}, count = 0;
  hkt.figures = hkt.figures || {};
  var ui = hkt.ui = {};

  ui.element = function (name, attributes, parent, text) {
    var made = SHAPES.test(name) ? document.createElementNS(NS, name) : document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) { made.setAttribute(key, attributes[key]); });
    if (text !== undefined) { made.textContent = text; }
    if (parent) { parent.appendChild(made); }
    return made;
  };

  /* 1234.5 as "1,234.50" with a real minus; "–" for what is missing. */
  ui.number = function (value, digits) {
    if (value === null || value === undefined || !isFinite(value)) { return "\u2013"; }
    var places = digits === undefined ? 2 : digits;
    return value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places }).replace("-", "\u2212");
  };
  ui.set = function (element, attributes) {
    Object.keys(attributes).forEach(function (key) { element.setAttribute(key, attributes[key]); });
    return element;
  };

  ui.row = function (root, label) {
    return ui.element("div", label ? { "class": "hkt-row", role: "group", "aria-label": label } : { "class": "hkt-row" }, root);
  };

  /* A slider with its name and its value in words; `text(value)` says it, `on(value)` acts.  Returns {set, input}. */
  ui.slider = function (root, about) {
    var id = "hkt-live-" + (count += 1), row = ui.row(root);
    ui.element("label", { "for": id }, row, about.label);
    var input = ui.element("input", { id: id, type: "range", min: about.min, max: about.max, step: about.step, value: about.value }, row);
    var shown = ui.element("output", { "for": id }, row);
    function tell(act) {
      var value = Number(input.value), words = about.text ? about.text(value) : ui.number(value);
      shown.textContent = words;
      input.setAttribute("aria-valuetext", words);
      if (act) { about.on(value); }
    }
    input.addEventListener("input", function () { tell(true); });
    tell(false);
    return { input: input, set: function (value) { input.value = value; tell(true); } };
  };

  /* One of several, as buttons that say which is pressed; `options` is [[value, name], …], or [[value, name, picture], …] for
     buttons that show a small picture. */
  ui.choice = function (root, about) {
    var row = ui.row(root, about.label), buttons = {};
    ui.element("span", { "class": "hkt-name", "aria-hidden": "true" }, row, about.label);
    function set(value, act) {
      Object.keys(buttons).forEach(function (key) { buttons[key].setAttribute("aria-pressed", String(key === String(value))); });
      if (act) { about.on(value); }
    }
    about.options.forEach(function (option) {
      var made = ui.element("button", { type: "button" }, row, option[2] ? "" : option[1]);
      if (option[2]) { ui.element("img", { src: option[2], alt: option[1], width: 36, height: 36 }, made); }
      made.addEventListener("click", function () { set(option[0], true); });
      buttons[String(option[0])] = made;
    });
    set(about.value, false);
    return { set: function (value) { set(value, true); } };
  };

  /* Any of several, as boxes to tick; `options` is [[key, name], …], all ticked; `on` gets {key: true or false}. */
  ui.boxes = function (root, about) {
    var row = ui.row(root, about.label), state = {};
    about.options.forEach(function (option) {
      var label = ui.element("label", { "class": "hkt-tick" }, row), box = ui.element("input", { type: "checkbox" }, label);
      label.appendChild(document.createTextNode(" " + option[1]));
      box.checked = state[option[0]] = true;
      box.addEventListener("change", function () {
        state[option[0]] = box.checked;
        about.on(state);
      });
    });
    return state;
  };

  /* An arrow with a head in its colour, from `from` to `to` in the units of the drawing; a very short one is its dot. */
  ui.arrow = function (svg, colour, width, dash) {
    var line = ui.element("path", { fill: "none", stroke: colour, "stroke-width": width || 3, "stroke-dasharray": dash || "none" }, svg);
    var head = ui.element("path", { fill: colour }, svg), dot = ui.element("circle", { r: 4, fill: colour }, svg);
    return function (from, to) {
      var x = to[0] - from[0], y = to[1] - from[1], length = Math.hypot(x, y), size = 3 + 3 * (width || 3), half = size * 0.42;
      var long = length > size, u = long ? [x / length, y / length] : [0, 0], neck = [to[0] - size * u[0], to[1] - size * u[1]];
      line.setAttribute("d", long ? "M" + from + "L" + neck : "");
      head.setAttribute("d", long ? "M" + to + "L" + [neck[0] - half * u[1], neck[1] + half * u[0]] + "L" + [neck[0] + half * u[1], neck[1] - half * u[0]] + "z" : "");
      ui.set(dot, { cx: to[0], cy: to[1], visibility: long ? "hidden" : "visible" });
    };
  };

  ui.button = function (root, name, on) {
    var made = ui.element("button", { type: "button" }, root, name);
    made.addEventListener("click", on);
    return made;
  };

  /* How wide a drawing is in its own units, so that its letters are as large on a phone. */
  ui.width = function (root) { return root.clientWidth && root.clientWidth < 440 ? 350 : 480; };

  /* What the figure says in words, read aloud when it changes. */
  ui.said = function (root) { return ui.element("p", { "class": "hkt-said", role: "status", "aria-live": "polite" }, root); };

  ui.svg = function (root, width, height, label) {
    return ui.element("svg", { viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": label }, root);
  };

  /* Round numbers from low to high, about `count` of them. */
  ui.scale = function (low, high, count) {
    var raw = (high - low) / (count || 4), power = Math.pow(10, Math.floor(Math.log10(raw))), found = [], value;
    var step = power * [1, 2, 5, 10].filter(function (times) { return times * power >= raw; })[0];
    for (value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) { found.push(Number(value.toPrecision(12))); }
    return found;
  };

  /* What the lines are called: [[name, colour, dash], …]. */
  ui.key = function (root, lines) {
    var list = ui.element("ul", { "class": "hkt-key" }, root);
    lines.forEach(function (line) {
      var item = ui.element("li", {}, list);
      var sample = ui.element("svg", { viewBox: "0 0 28 12", "aria-hidden": "true" }, item);
      ui.element("path", { d: "M0 6H28", stroke: line[1], "stroke-width": 3, "stroke-dasharray": line[2] || "none" }, sample);
      ui.element("span", {}, item, line[0]);
    });
    return list;
  };

  /* A plane with axes: {x: [low, high, name], y: [low, high, name], ticks: {x: […], y: […]}, log: "y"}.
     Returns {svg, X, Y, path(points, attributes), dot(point, attributes)}; points are [x, y]. */
  ui.plane = function (root, about) {
    var width = about.width || ui.width(root), height = about.height || 280, box = { left: 56, right: width - 14, top: 14, bottom: height - 44 };
    var svg = ui.svg(root, width, height, about.label), logs = about.log || "";
    function scale(axis, from, to) {
      var low = about[axis][0], high = about[axis][1], log = logs.indexOf(axis) >= 0;
      if (log) { low = Math.log10(low); high = Math.log10(high); }
      return function (value) { return from + ((log ? Math.log10(value) : value) - low) / (high - low) * (to - from); };
    }
    var X = scale("x", box.left, box.right), Y = scale("y", box.bottom, box.top);
    var frame = ui.element("g", { "class": "hkt-axes" }, svg), ticks = about.ticks || {};
    (ticks.x || about.x.slice(0, 2)).forEach(function (value) {
      ui.element("line", { x1: X(value), x2: X(value), y1: box.bottom, y2: box.bottom + 5 }, frame);
      ui.element("text", { x: X(value), y: box.bottom + 19, "text-anchor": "middle" }, frame, ui.short(value));
    });
    (ticks.y || about.y.slice(0, 2)).forEach(function (value) {
      ui.element("line", { x1: box.left, x2: box.right, y1: Y(value), y2: Y(value), "class": "hkt-grid" }, frame);
      ui.element("text", { x: box.left - 7, y: Y(value) + 4, "text-anchor": "end" }, frame, ui.short(value));
    });
    ui.element("text", { x: (box.left + box.right) / 2, y: height - 6, "text-anchor": "middle" }, frame, about.x[2]);
    ui.element("text", { transform: "translate(14 " + (box.top + box.bottom) / 2 + ") rotate(-90)", "text-anchor": "middle" }, frame, about.y[2]);
    function at(point) { return X(point[0]).toFixed(1) + " " + Y(point[1]).toFixed(1); }
    function d(points) { return points.length ? "M" + points.map(at).join("L") : ""; }
    return {
      svg: svg, X: X, Y: Y, box: box, d: d,
      path: function (points, attributes) { return ui.set(ui.element("path", { fill: "none", d: d(points) }, svg), attributes || {}); },
      dot: function (point, attributes) {
        return ui.set(ui.element("circle", { r: 4, cx: X(point[0]), cy: Y(point[1]) }, svg), attributes || {});
      }
    };
  };
  /* Three digits, two of what is small; 1.7 · 10⁻⁸ for what is tiny. */
  ui.short = function (value) {
    var size = Math.abs(value);
    if (size > 0 && size < 1e-4) {
      var parts = value.toExponential(1).split("e");
      return parts[0].replace("-", "\u2212") + " \u00b7 10\u207b" + parts[1].slice(1).replace(/\d/g, function (d) { return "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[d]; });
    }
    return String(Number(value.toPrecision(size < 0.01 ? 2 : 3))).replace("-", "\u2212");
  };

  /* The numbers that are shown now, as a table behind a toggle; call it again to renew them. */
  ui.table = function (root, name) {
    var box = ui.element("details", {}, root);
    ui.element("summary", {}, box, name);
    var scroll = ui.element("div", { "class": "hkt-scroll" }, box);
    return function (columns, rows) {
      scroll.textContent = "";
      var table = ui.element("table", { "class": "hkt-table" }, scroll);
      ui.element("caption", {}, table, name);
      var head = ui.element("tr", {}, ui.element("thead", {}, table)), body = ui.element("tbody", {}, table);
      columns.forEach(function (column) { ui.element("th", { scope: "col" }, head, column); });
      rows.forEach(function (row) {
        var line = ui.element("tr", {}, body);
        row.forEach(function (item) {
          var isNumber = typeof item === "number";
          ui.element("td", isNumber ? { "class": "num" } : {}, line, isNumber ? ui.short(item) : item);
        });
      });
    };
  };
}());
