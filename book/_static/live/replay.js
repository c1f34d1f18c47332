/* A training, epoch by epoch: three losses, the validation accuracy beside the plain child's, and a lamp while the parent answers.
   Data: {runs: {name: {"L_c", "L_c*", "L_p*", accuracy: [a number an epoch]}}, plain: [accuracies], axis, lead} of
   evidence/figures.py, which says `answers` in Python. */
(function () {
  "use strict";
  var LINES = [["L_c", "var(--hkt-child)", ""], ["L_c*", "var(--hkt-inherited)", "9 5"], ["L_p*", "var(--hkt-parent)", "2 5"]];
  var compute = {
    /* Of a mean cross-entropy: the probability of the right class, a geometric mean over images. */
    probability: function (loss) { return Math.exp(-loss); },
    answers: function (own, mixed, lead) { return compute.probability(mixed) - compute.probability(own) > lead; }
  };

  function points(values, until) {
    return values.slice(0, until).map(function (value, k) { return [k + 1, value]; });
  }

  function draw(root, data, ui) {
    var names = Object.keys(data.runs), chosen = names[0], longest = 0, worst = 0, epoch;
    names.forEach(function (name) {
      longest = Math.max(longest, data.runs[name].accuracy.length);
      LINES.forEach(function (line) { worst = Math.max(worst, Math.max.apply(null, data.runs[name][line[0]])); });
    });
    var best = Math.max.apply(null, data.plain.concat.apply(data.plain, names.map(function (name) { return data.runs[name].accuracy; })));
    epoch = longest;
    if (names.length > 1) {
      ui.choice(root, { label: "Run", options: names.map(function (name) { return [name, name]; }), value: chosen, on: function (name) { chosen = name; show(); } });
    }
    var slider = ui.slider(root, {
      label: "Epoch", min: 1, max: longest, step: 1, value: epoch, on: function (value) { epoch = value; show(); },
      text: function (value) { return value + " of " + longest; }
    });
    var lamp = ui.element("span", { "class": "hkt-lamp" }, ui.row(root));
    var stage = ui.element("div", {}, root);
    ui.key(root, [["L_c, and the child's accuracy"].concat(LINES[0].slice(1)), LINES[1], LINES[2], ["the plain child's accuracy", "currentColor", "2 5"]]);
    var said = ui.said(root), table = ui.table(root, "The numbers of the run that is shown");

    function plane(name, top, label) {
      return ui.plane(stage, {
        label: label, height: 190, x: [0, longest, "epoch"], y: [0, top, name], ticks: { x: ui.scale(0, longest, 8).filter(Number.isInteger), y: ui.scale(0, top) }
      });
    }
    function line(on, values, colour, dash, until) {
      on.path(points(values), { stroke: colour, "stroke-width": 2, opacity: 0.25, "stroke-dasharray": dash || "none" });
      on.path(points(values, until), { stroke: colour, "stroke-width": 3, "stroke-dasharray": dash || "none" });
      on.dot([until, values[until - 1]], { fill: colour, r: 4.5 });
    }
    function show() {
      var run = data.runs[chosen], at = Math.min(epoch, run.accuracy.length) - 1, own = run.L_c[at], mixed = run["L_c*"][at];
      var lit = compute.answers(own, mixed, data.lead), plain = data.plain[at];
      stage.textContent = "";
      var above = plane("training loss", worst, "Losses of " + chosen + " up to epoch " + (at + 1));
      var below = plane("accuracy (%)", best, "Validation accuracy of " + chosen + " up to epoch " + (at + 1));
      [above, below].forEach(function (one) {
        ui.element("line", { x1: one.X(at + 1), x2: one.X(at + 1), y1: one.box.top, y2: one.box.bottom, stroke: "currentColor", opacity: 0.4 }, one.svg);
      });
      LINES.forEach(function (each) { line(above, run[each[0]], each[1], each[2], at + 1); });
      if (data.plain.length) { line(below, data.plain, "currentColor", "2 5", at + 1); }
      line(below, run.accuracy, "var(--hkt-child)", "", at + 1);
      lamp.dataset.lit = lit ? "yes" : "no";
      lamp.textContent = (lit ? "\u25cf" : "\u25cb") + " the parent " + (lit ? "answers" : "does not answer");
      said.textContent = "Epoch " + (at + 1) + " of " + chosen + ": the child's head gives the right class a probability of " +
        ui.number(compute.probability(mixed)) + " from the mixture and of " + ui.number(compute.probability(own)) +
        " from the child's own feature (e to minus the loss). The lamp is " + (lit ? "lit" : "dark") + ": it is lit while the first is larger by more than " +
        ui.number(data.lead) + ". Alone, the child has a " + data.axis.replace(" (%)", "") + " of " + ui.number(run.accuracy[at], 1) + " %" +
        (plain === undefined ? "." : ", the plain child " + ui.number(plain, 1) + " %.");
      table(["epoch", "L_c", "L_c*", "L_p*", "parent answers", data.axis, "plain child"], run.accuracy.map(function (value, k) {
        var yes = compute.answers(run.L_c[k], run["L_c*"][k], data.lead);
        return [k + 1, run.L_c[k], run["L_c*"][k], run["L_p*"][k], yes ? "yes" : "no", value, data.plain[k] === undefined ? "\u2013" : data.plain[k]];
      }));
    }
    slider.set(1);
  }

  hkt.figures.replay = { compute: compute, draw: draw };
}());
