/* The figure of page 04 that can be moved: drag c and p, choose lambda and the kind, watch the gate g, the share and the mixture m.
   Plain SVG and JavaScript, no library, nothing loaded.  Without JavaScript the text inside #hkt-gate stays, and the still drawing below it. */
(function () {
  "use strict";
  var root = document.getElementById("hkt-gate");
  if (!root || root.dataset.ready) { return; }
  root.dataset.ready = "yes";

  var NS = "http://www.w3.org/2000/svg";
  var LOW = -2, HIGH = 4, SIZE = 440, UNIT = SIZE / (HIGH - LOW);           // both axes from LOW to HIGH
  var KINDS = {
    gate: { name: "gate (released)", share: function (g, lam) { return lam * (1 - g); } },
    forward_gate: { name: "forward_gate (control)", share: function (g, lam) { return lam * g; } },
    "static": { name: "static (0.7 p + 0.3 c)", share: function () { return 0.7; } }
  };
  var PRESETS = [
    ["as drawn below", [2.1, 0.4], [0.5, 1.5]],
    ["alike", [1.4, 1.2], [1.2, 1.5]],
    ["no common channel", [1.6, 0], [0, 1.6]],
    ["long features", [3.5, 1.2], [1.2, 3.5]],
    ["not after a ReLU", [1.5, -1.2], [-1.2, 1.5]]
  ];
  var state = { c: [2.1, 0.4], p: [0.5, 1.5], lam: 0.6, kind: "gate" };

  var style = document.createElement("style");
  style.textContent =
    ".hkt-gate{--g-p:var(--hkt-parent,#0072B2);--g-c:var(--hkt-child,#D55E00);--g-m:var(--hkt-inherited,#009E73);" +
    "--g-ink:var(--hkt-ink,#1f2328);--g-line:var(--hkt-line,#c9d1d9);--g-soft:var(--hkt-soft,#f4f6f8);" +
    "color:var(--g-ink);border:1px solid var(--g-line);border-radius:.5rem;padding:.8rem;margin:1rem 0}" +
    ".hkt-gate svg{display:block;width:100%;max-width:30rem;height:auto;margin:0 auto;-webkit-user-select:none;user-select:none}" +
    ".hkt-gate svg text{fill:var(--g-ink);font-size:14px;font-family:inherit}" +
    ".hkt-gate .g-handle{cursor:grab;touch-action:none}.hkt-gate .g-handle:focus{outline:none}" +
    ".hkt-gate .g-handle:focus .g-ring{stroke:var(--g-ink);stroke-width:3}" +
    ".hkt-gate .g-row{display:flex;flex-wrap:wrap;gap:.5rem 1.2rem;align-items:center;margin:.5rem 0}" +
    ".hkt-gate label{display:inline-flex;flex-wrap:wrap;gap:.5rem;align-items:center;margin:0}" +
    ".hkt-gate button,.hkt-gate select{font:inherit;font-size:.9em;color:inherit;background:var(--g-soft);" +
    "border:1px solid var(--g-line);border-radius:.4rem;padding:.3rem .6rem;min-height:2rem}" +
    ".hkt-gate button{cursor:pointer}.hkt-gate :is(button,select,input):focus-visible{outline:2px solid var(--g-p);outline-offset:2px}" +
    ".hkt-gate .g-bar{flex:1 1 6rem;height:.8rem;border:1px solid var(--g-line);border-radius:.4rem;position:relative;overflow:hidden}" +
    ".hkt-gate .g-bar i{position:absolute;inset:0 auto 0 0;background:var(--g-m)}" +
    ".hkt-gate .g-bar b{position:absolute;top:0;bottom:0;width:2px;background:var(--g-ink)}" +
    ".hkt-gate output{font-variant-numeric:tabular-nums}.hkt-gate p{margin:.3rem 0}";
  document.head.appendChild(style);

  function element(name, attributes, parent, text) {
    var made = /^(svg|g|rect|line|path|circle|text|polygon|title|desc)$/.test(name)
      ? document.createElementNS(NS, name) : document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) { made.setAttribute(key, attributes[key]); });
    if (text !== undefined) { made.textContent = text; }
    if (parent) { parent.appendChild(made); }
    return made;
  }
  function X(v) { return (v[0] - LOW) * UNIT; }
  function Y(v) { return (HIGH - v[1]) * UNIT; }
  function number(value, digits) { return value.toFixed(digits === undefined ? 2 : digits).replace("-", "\u2212"); }
  function small(value) { return value === 0 ? "0" : value < 0.001 ? value.toExponential(1).replace("-", "\u2212") : number(value, 3); }

  root.textContent = "";
  element("p", { id: "hkt-gate-help" }, root,
    "Drag the two tips, or select one with Tab and move it with the arrow keys (with Shift in small steps).");
  var svg = element("svg", { viewBox: "0 0 " + SIZE + " " + SIZE, role: "group", "aria-label": "Child's feature c, parent's feature p and their mixture m" }, root);
  element("rect", { x: X([0, 0]), y: 0, width: SIZE - X([0, 0]), height: Y([0, 0]), fill: "var(--g-soft)" }, svg);
  element("text", { x: SIZE - 6, y: Y([0, 0]) - 8, "text-anchor": "end", opacity: 0.75 }, svg, "features after a ReLU live here");
  [["x", [LOW, 0], [HIGH, 0]], ["y", [0, LOW], [0, HIGH]]].forEach(function (axis) {
    element("line", { x1: X(axis[1]), y1: Y(axis[1]), x2: X(axis[2]), y2: Y(axis[2]), stroke: "var(--g-line)", "stroke-width": 1.5 }, svg);
  });
  element("text", { x: SIZE - 6, y: Y([0, 0]) + 18, "text-anchor": "end", opacity: 0.75 }, svg, "channel 1");
  element("text", { x: X([0, 0]) - 6, y: 18, "text-anchor": "end", opacity: 0.75 }, svg, "channel 2");
  var between = element("line", { stroke: "var(--g-ink)", "stroke-width": 1.5, "stroke-dasharray": "5 4" }, svg);
  var arrows = { c: arrow("var(--g-c)"), p: arrow("var(--g-p)") };
  var moved = element("line", { stroke: "var(--g-m)", "stroke-width": 5, "stroke-linecap": "round" }, svg);
  var handles = { c: handle("c", "child's feature c", "var(--g-c)"), p: handle("p", "parent's feature p", "var(--g-p)") };
  var ga = element("rect", { width: 12, height: 12, fill: "none", stroke: "var(--g-ink)", "stroke-width": 2, "pointer-events": "none" }, svg);
  var gaName = element("text", { "text-anchor": "end", "pointer-events": "none" }, svg, "GA");
  var m = element("polygon", { fill: "var(--g-m)", stroke: "var(--g-soft)", "stroke-width": 1.5, "pointer-events": "none" }, svg);
  var mName = element("text", { "text-anchor": "end", "font-weight": 700, "pointer-events": "none", style: "fill:var(--g-m)" }, svg, "m");

  function arrow(colour) { return element("line", { stroke: colour, "stroke-width": 3 }, svg); }

  function handle(key, name, colour) {
    var group = element("g", { "class": "g-handle", tabindex: 0, role: "button", "aria-describedby": "hkt-gate-help" }, svg);
    element("circle", { r: 22, fill: "transparent" }, group);               // large enough for a finger
    element("circle", { "class": "g-ring", r: 10, fill: colour, stroke: "var(--g-soft)", "stroke-width": 2 }, group);
    element("text", { x: 15, y: -12, "font-weight": 700, style: "fill:" + colour }, group, key);
    group.addEventListener("pointerdown", function (event) {
      event.preventDefault();
      group.focus();
      group.setPointerCapture(event.pointerId);
    });
    group.addEventListener("pointermove", function (event) {
      if (!group.hasPointerCapture(event.pointerId)) { return; }
      var box = svg.getBoundingClientRect();
      place(key, [LOW + (event.clientX - box.left) / box.width * (HIGH - LOW), HIGH - (event.clientY - box.top) / box.height * (HIGH - LOW)]);
    });
    group.addEventListener("keydown", function (event) {
      var step = event.shiftKey ? 0.02 : 0.1;
      var by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
      if (!by) { return; }
      event.preventDefault();
      place(key, [state[key][0] + by[0], state[key][1] + by[1]]);
    });
    group.hktName = name;
    return group;
  }

  function place(key, at) {
    state[key] = at.map(function (value) { return Math.round(100 * Math.min(HIGH - 0.35, Math.max(LOW + 0.15, value))) / 100; });
    draw();
  }

  var row = element("div", { "class": "g-row" }, root);
  var lamLabel = element("label", {}, row);
  lamLabel.appendChild(document.createTextNode("\u03bb"));
  var slider = element("input", { type: "range", min: 0, max: 1, step: 0.05, value: state.lam, "aria-label": "lambda" }, lamLabel);
  var lamValue = element("output", {}, lamLabel);
  var kindLabel = element("label", {}, row, "kind ");
  var select = element("select", {}, kindLabel);
  Object.keys(KINDS).forEach(function (kind) { element("option", { value: kind }, select, KINDS[kind].name); });
  slider.addEventListener("input", function () { state.lam = Number(slider.value); draw(); });
  select.addEventListener("change", function () { state.kind = select.value; draw(); });

  var places = element("div", { "class": "g-row", role: "group", "aria-label": "positions to try" }, root);
  PRESETS.forEach(function (preset) {
    element("button", { type: "button" }, places, preset[0]).addEventListener("click", function () {
      state.c = preset[1].slice();
      state.p = preset[2].slice();
      draw();
    });
  });

  var bars = ["gate g", "share"].map(function (name) {
    var line = element("div", { "class": "g-row" }, root);
    element("span", { style: "min-width:4rem" }, line, name);
    var bar = element("div", { "class": "g-bar", "aria-hidden": "true" }, line);
    return { fill: element("i", {}, bar), mark: element("b", {}, bar), text: element("output", { style: "min-width:5rem" }, line) };
  });
  bars[0].mark.style.left = "50%";
  var said = element("p", { role: "status", "aria-live": "polite" }, root);

  function line(which, from, to) {
    which.setAttribute("x1", X(from));
    which.setAttribute("y1", Y(from));
    which.setAttribute("x2", X(to));
    which.setAttribute("y2", Y(to));
  }
  function on(share) { return [0, 1].map(function (i) { return state.c[i] + share * (state.p[i] - state.c[i]); }); }

  function draw() {
    var c = state.c, p = state.p, s = (c[0] * p[0] + c[1] * p[1]) / Math.SQRT2;
    var g = 1 / (1 + Math.exp(-s)), share = KINDS[state.kind].share(g, state.lam), at = on(share), attention = on(g);
    line(between, c, p);
    line(arrows.c, [0, 0], c);
    line(arrows.p, [0, 0], p);
    line(moved, c, at);
    ga.setAttribute("x", X(attention) - 6);
    ga.setAttribute("y", Y(attention) - 6);
    gaName.setAttribute("x", X(attention) - 12);
    gaName.setAttribute("y", Y(attention) + 4);
    var gone = state.kind === "static" ? "none" : "";
    ga.style.display = gone;
    gaName.style.display = gone;
    m.setAttribute("points", [[0, -9], [9, 0], [0, 9], [-9, 0]].map(function (d) { return (X(at) + d[0]) + "," + (Y(at) + d[1]); }).join(" "));
    mName.setAttribute("x", X(at) - 13);
    mName.setAttribute("y", Y(at) + 16);
    Object.keys(handles).forEach(function (key) {
      handles[key].setAttribute("transform", "translate(" + X(state[key]) + " " + Y(state[key]) + ")");
      handles[key].setAttribute("aria-label", handles[key].hktName + ", at " + number(state[key][0]) + " and " + number(state[key][1]) + "; arrow keys move it");
    });
    lamValue.textContent = number(state.lam);
    slider.disabled = state.kind === "static";
    bars[0].fill.style.width = 100 * g + "%";
    bars[0].text.textContent = number(g, 4);
    bars[1].fill.style.width = 100 * share + "%";
    bars[1].mark.style.left = 50 * state.lam + "%";
    bars[1].mark.style.display = state.kind === "static" ? "none" : "";
    bars[1].text.textContent = small(share);
    var cosine = (c[0] * p[0] + c[1] * p[1]) / Math.max(1e-9, Math.hypot(c[0], c[1]) * Math.hypot(p[0], p[1]));
    said.textContent = "Similarity s = " + number(s) + ", cosine " + number(cosine) + ", gate g = " + number(g, 3) + ". The mixture m = (" +
      number(at[0]) + ", " + number(at[1]) + ") has gone " + small(100 * share) + " % of the way from c to p. The mark in the second bar is at \u03bb/2.";
  }
  draw();
}());
