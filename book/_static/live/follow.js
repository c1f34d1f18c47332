/* The way from a verdict down to the files, step by step; the steps stand in the list behind, made by evidence/follow.py.
   Data: {claim, steps: [names]} and, of a difference, {axis, digits, names, seeds, of, to, sign, t}. */
(function () {
  "use strict";
  var compute = {
    differences: function (data) {
      return data.of.map(function (value, k) { return data.sign * (value - data.to[k]); });
    },
    /* Mean of the differences with Student's interval, as stats.paired. */
    paired: function (data) {
      var d = compute.differences(data), n = d.length, mean = d.reduce(function (sum, x) { return sum + x; }, 0) / n;
      var sd = Math.sqrt(d.reduce(function (sum, x) { return sum + (x - mean) * (x - mean); }, 0) / (n - 1));
      return { n: n, mean: mean, sd: sd, low: mean - data.t * sd / Math.sqrt(n), high: mean + data.t * sd / Math.sqrt(n) };
    }
  };

  function rows(ui, root, about, names) {
    var low = Math.min.apply(null, about.values), high = Math.max.apply(null, about.values), room = (high - low || 1) * 0.08;
    var on = ui.plane(root, {
      label: about.label, height: 34 * names.length + 70, x: [low - room, high + room, about.axis], y: [names.length - 0.5, -0.5, ""],
      ticks: { x: ui.scale(low - room, high + room, 5), y: [] }
    });
    names.forEach(function (name, k) { ui.element("text", { x: on.box.left - 8, y: on.Y(k) + 5, "text-anchor": "end" }, on.svg, name); });
    return on;
  }

  function pictureOfDots(ui, root, data) {
    var names = data.seeds.map(function (seed) { return "seed " + seed; });
    var other = data.names[1] === "plain" ? "var(--hkt-child)" : "currentColor";
    var on = rows(ui, root, { label: data.axis + " of " + data.names.join(" and ") + ", a row for each seed", axis: data.axis, values: data.of.concat(data.to) }, names);
    names.forEach(function (_, k) {
      on.path([[data.of[k], k], [data.to[k], k]], { stroke: "currentColor", "stroke-width": 1.5 });
      on.dot([data.of[k], k], { fill: "var(--hkt-inherited)", r: 6 });
      ui.element("rect", { x: on.X(data.to[k]) - 5.5, y: on.Y(k) - 5.5, width: 11, height: 11, fill: other }, on.svg);
    });
    ui.key(root, [["dot: " + data.names[0], "var(--hkt-inherited)"], ["square: " + data.names[1], other]]);
  }

  function pictureOfInterval(ui, root, data) {
    var d = compute.differences(data), found = compute.paired(data), last = d.length;
    var names = data.seeds.map(function (seed) { return "seed " + seed; }).concat(["mean"]);
    var on = rows(ui, root, { label: "The differences, their mean and its interval", axis: "better by: " + data.axis, values: d.concat([found.low, found.high, 0]) }, names);
    ui.element("line", { x1: on.X(0), x2: on.X(0), y1: on.box.top, y2: on.box.bottom, stroke: "currentColor", "stroke-dasharray": "4 3" }, on.svg);
    d.forEach(function (value, k) { on.dot([value, k], { fill: "var(--hkt-inherited)", r: 5 }); });
    on.path([[found.low, last], [found.high, last]], { stroke: "currentColor", "stroke-width": 3 });
    on.dot([found.mean, last], { fill: "currentColor", r: 6 });
  }

  function draw(root, data, ui) {
    var listed = root.parentNode.querySelectorAll("ol.hkt-still > li"), at = 0, compared = Boolean(data.seeds);
    var names = data.steps.map(function (name, k) { return [k, (k + 1) + " " + name]; });
    if (names.length === 1) { names = [[0, data.steps[0]]]; }
    var choice = ui.choice(root, { label: "Step", options: names, value: 0, on: function (value) { at = Number(value); show(); } });
    var said = ui.said(root), picture = ui.element("div", {}, root), step = ui.element("div", { "class": "hkt-step" }, root);
    var row = ui.row(root);
    function move(by) { return function () { if (at + by >= 0 && at + by < names.length) { choice.set(at + by); } }; }
    var back = ui.button(row, "Back", move(-1)), next = ui.button(row, "Next", move(1));
    if (names.length === 1) { row.remove(); }

    function words() {
      var found = compared ? compute.paired(data) : null, short = function (value) { return ui.number(value, data.digits); };
      if (compared && data.steps[at] === "Dots") {
        return ": " + data.seeds.map(function (seed, k) {
          return "seed " + seed + " " + short(data.of[k]) + " against " + short(data.to[k]);
        }).join("; ") + ".";
      }
      if (compared && data.steps[at] === "Interval") {
        return ", computed again here from the dots: [" + short(found.low) + ", " + short(found.high) + "]; 0 lies " +
          (found.low > 0 ? "below it." : found.high < 0 ? "above it." : "inside.");
      }
      return "";
    }
    function show() {
      picture.textContent = step.textContent = "";
      said.textContent = "Step " + (at + 1) + " of " + names.length + " for " + data.claim + ": " + data.steps[at].toLowerCase() + (words() || ".");
      if (compared && data.steps[at] === "Dots") { pictureOfDots(ui, picture, data); }
      if (compared && data.steps[at] === "Interval") { pictureOfInterval(ui, picture, data); }
      Array.prototype.slice.call(listed[at].childNodes, 1).forEach(function (part) { step.appendChild(part.cloneNode(true)); });
      back.setAttribute("aria-disabled", String(at === 0));  // it keeps the focus
      next.setAttribute("aria-disabled", String(at === names.length - 1));
      hkt.markWide();
    }
    show();
  }

  hkt.figures.follow = { compute: compute, draw: draw };
}());
