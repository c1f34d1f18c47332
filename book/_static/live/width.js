/* The width of Transfer: one real feature goes through a door of k channels and back, and two heads read it.
   Data: {classes, mean: [C], doors: {name: C rows of C thousandths, or null for the channels as they come}, accuracy: {name: {learns, frozen:
   a number a width}}, whole: [learns, frozen], images: [{name, picture, p: [C]}], head: {weight: K rows, bias: [K]}} of page 03. */
(function () {
  "use strict";
  var compute = {
    /* Transfer and the way back: the mean, and what the first k directions hold of p. */
    through: function (p, mean, rows, k) {
      var z = [], j, i, sum;
      function entry(i, j) { return rows ? rows[i][j] / 1000 : Number(i === j); }
      for (j = 0; j < k; j += 1) {
        for (sum = 0, i = 0; i < p.length; i += 1) { sum += (p[i] - mean[i]) * entry(i, j); }
        z.push(sum);
      }
      return mean.map(function (middle, i) {
        return z.reduce(function (sum, value, j) { return sum + value * entry(i, j); }, middle);
      });
    },
    /* What a linear head makes of a feature: the softmax of its logits. */
    probabilities: function (head, feature) {
      var logits = head.bias.map(function (bias, c) {
        return feature.reduce(function (sum, value, i) { return sum + value * head.weight[c][i]; }, bias);
      });
      var top = Math.max.apply(null, logits), powers = logits.map(function (z) { return Math.exp(z - top); });
      var sum = powers.reduce(function (a, b) { return a + b; }, 0);
      return powers.map(function (power) { return power / sum; });
    },
    /* How much of p's distance from the mean is lost, from 0 to 1 for a projection. */
    lost: function (p, mean, back) {
      function length(a, b) { return Math.hypot.apply(null, a.map(function (value, i) { return value - b[i]; })); }
      return length(p, back) / length(p, mean);
    }
  };

  function draw(root, data, ui) {
    var C = data.mean.length, doors = Object.keys(data.doors), door = doors[0], which = 0, k = Math.min(3, C);
    ui.choice(root, { label: "Door", options: doors.map(function (name) { return [name, name]; }), value: door, on: function (name) { door = name; show(); } });
    ui.choice(root, {
      label: "Image", value: 0, on: function (value) { which = Number(value); show(); },
      options: data.images.map(function (image, n) { return [n, image.name, image.picture]; })
    });
    ui.slider(root, {
      label: "Width k", min: 1, max: C, step: 1, value: k, on: function (value) { k = value; show(); },
      text: function (value) { return value + " of " + C + " channels"; }
    });
    var stage = ui.element("div", {}, root);
    ui.key(root, [
      ["the feature p, and what the parent's head reads", "var(--hkt-parent)"], ["what comes back, T_back(T(p))", "currentColor"],
      ["what a new head learns to read in T(p)", "var(--hkt-inherited)", "9 5"]
    ]);
    var said = ui.said(root), table = ui.table(root, "The numbers at this width");

    function bars(p, back) {
      var all = data.images.reduce(function (sum, image) { return sum.concat(image.p); }, []), top = 1.1 * Math.max.apply(null, all);
      var low = Math.min(0, Math.min.apply(null, back)), wide;
      var on = ui.plane(stage, {
        label: "The feature's " + C + " channels, and what comes back through " + k + " of them", height: 170, x: [0, C, "channel"],
        y: [Math.max(low, -0.4 * top), top, "value"], ticks: { x: ui.scale(0, C, 8), y: ui.scale(0, top, 3) }
      });
      wide = on.X(1) - on.X(0);
      p.forEach(function (value, i) {
        ui.element("rect", { x: on.X(i), width: wide * 0.8, y: on.Y(value), height: on.Y(0) - on.Y(value), fill: "var(--hkt-parent)", opacity: 0.35 }, on.svg);
        ui.element("path", { d: "M" + on.X(i) + " " + on.Y(Math.max(back[i], -0.4 * top)) + "h" + wide * 0.8, stroke: "currentColor", "stroke-width": 3 }, on.svg);
      });
    }
    function curves() {
      var on = ui.plane(stage, {
        label: "Accuracy of two heads over the width, through " + door, height: 190, log: "x", x: [1, C, "width k (channels)"], y: [0, 100, "accuracy (%)"],
        ticks: { x: [1, 2, 4, 8, 16, 32, 64].filter(function (value) { return value <= C; }), y: [0, 50, 100] }
      });
      [["learns", "var(--hkt-inherited)", "9 5"], ["frozen", "var(--hkt-parent)", "none"]].forEach(function (line) {
        var values = data.accuracy[door][line[0]];
        on.path(values.map(function (value, n) { return [n + 1, value]; }), { stroke: line[1], "stroke-width": 2.5, "stroke-dasharray": line[2] });
        on.dot([k, values[k - 1]], { fill: line[1], r: 5.5 });
      });
      ui.element("line", { x1: on.X(k), x2: on.X(k), y1: on.box.top, y2: on.box.bottom, stroke: "currentColor", opacity: 0.4 }, on.svg);
    }
    function named(probabilities) {
      var best = probabilities.indexOf(Math.max.apply(null, probabilities));
      return "\u201c" + data.classes[best] + "\u201d (" + ui.number(probabilities[best]) + ")";
    }
    function show() {
      var image = data.images[which], back = compute.through(image.p, data.mean, data.doors[door], k), found = data.accuracy[door];
      var lost = compute.lost(image.p, data.mean, back), before = compute.probabilities(data.head, image.p), after = compute.probabilities(data.head, back);
      stage.textContent = "";
      bars(image.p, back);
      curves();
      said.textContent = "Through " + k + " of " + C + " channels, " + door + ": " + ui.number(100 * lost, 0) + " % of this feature's distance from the mean is lost. " +
        "The parent's head says " + named(after) + " where it said " + named(before) + "; the image shows \u201c" + image.name + "\u201d. Over all validation images it is right on " +
        ui.number(found.frozen[k - 1], 1) + " %, a new head on " + ui.number(found.learns[k - 1], 1) + " %; unsqueezed " + ui.number(data.whole[1], 1) + " and " + ui.number(data.whole[0], 1) + " %.";
      table(["door", "new head (%)", "parent's head (%)", "lost of this feature (%)"], doors.map(function (name) {
        var there = compute.through(image.p, data.mean, data.doors[name], k);
        return [name, data.accuracy[name].learns[k - 1], data.accuracy[name].frozen[k - 1], 100 * compute.lost(image.p, data.mean, there)];
      }));
    }
    show();
  }

  hkt.figures.width = { compute: compute, draw: draw };
}());
