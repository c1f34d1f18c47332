/* Page 01: the parent's scores of one image, softened by a temperature; entropy, and what that does to distillation's loss.
   Data: {classes: [names], images: [{picture, label, parent: [scores], child: [scores]}, …]}. */
(function () {
  "use strict";
  var LEAST = 0.5, MOST = 16, STEP = 0.5;

  /* Probabilities of scores at a temperature. */
  function soft(scores, tau) {
    var top = Math.max.apply(null, scores), powers = scores.map(function (z) { return Math.exp((z - top) / tau); });
    var sum = powers.reduce(function (a, b) { return a + b; }, 0);
    return powers.map(function (e) { return e / sum; });
  }
  /* In bits: 0 for one word, log2 of the number of classes for no idea. */
  function entropy(q) { return q.reduce(function (sum, x) { return x > 0 ? sum - x * Math.log2(x) : sum; }, 0); }

  /* The imitation's loss of one image: KL, the factor, their product, and the length of the product's gradient by the child's
     scores without and with the factor. */
  function imitation(parent, child, tau) {
    var q = soft(parent, tau), r = soft(child, tau);
    var kl = q.reduce(function (sum, x, k) { return x > 0 ? sum + x * Math.log(x / r[k]) : sum; }, 0);
    var pull = Math.sqrt(q.reduce(function (sum, x, k) { return sum + (x - r[k]) * (x - r[k]); }, 0)) / tau;
    return { kl: kl, factor: tau * tau, loss: tau * tau * kl, pull: pull, scaled: tau * tau * pull };
  }

  function draw(root, data, ui) {
    var state = { image: 0, tau: 1 }, names = data.classes, high = 24, width = ui.width(root), left = 88, right = width - 58, top = 6;
    ui.choice(root, {
      label: "image", value: 0, on: function (value) { state.image = value; show(); },
      options: data.images.map(function (one, i) { return [i, "image " + (i + 1) + ", label " + names[one.label], one.picture]; })
    });
    ui.slider(root, {
      label: "temperature τ", min: LEAST, max: MOST, step: STEP, value: 1,
      text: function (value) { return ui.number(value, 1); }, on: function (value) { state.tau = value; show(); }
    });
    var bottom = top + names.length * high, svg = ui.svg(root, width, bottom + 40, "The parent's probabilities as bars");
    var axes = ui.element("g", { "class": "hkt-axes" }, svg);
    [0, 0.5, 1].forEach(function (x) {
      var at = left + x * (right - left);
      ui.element("line", { x1: at, x2: at, y1: top, y2: bottom + 4, "class": "hkt-grid" }, axes);
      ui.element("text", { x: at, y: bottom + 18, "text-anchor": "middle" }, axes, String(x));
    });
    ui.element("text", { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, axes, "probability (outlined: at τ = 1)");
    var lines = names.map(function (name, k) {
      var y = top + k * high;
      return {
        name: ui.element("text", { x: left - 8, y: y + 16, "text-anchor": "end" }, svg, name),
        bar: ui.element("rect", { x: left, y: y + 4, height: high - 8, fill: "var(--hkt-parent)" }, svg),
        first: ui.element("rect", { x: left, y: y + 2, height: high - 4, fill: "none", stroke: "currentColor", "stroke-width": 1.2 }, svg),
        value: ui.element("text", { y: y + 17 }, svg)
      };
    });
    var said = ui.said(root), fill = ui.table(root, "The numbers at this temperature");

    function show() {
      var one = data.images[state.image], q = soft(one.parent, state.tau), q1 = soft(one.parent, 1), r = soft(one.child, state.tau);
      var loss = imitation(one.parent, one.child, state.tau), order = q.map(function (x, k) { return k; });
      order.sort(function (a, b) { return q[b] - q[a]; });
      lines.forEach(function (line, k) {
        var isLabel = k === one.label, long = Math.max(q[k], q1[k]) * (right - left);
        line.name.textContent = (isLabel ? "▸ " : "") + names[k];
        line.name.setAttribute("font-weight", isLabel ? 700 : 400);
        line.bar.setAttribute("width", (q[k] * (right - left)).toFixed(2));
        line.first.setAttribute("width", (q1[k] * (right - left)).toFixed(2));
        line.value.textContent = ui.number(q[k], 3);
        line.value.setAttribute("x", (left + long + 8).toFixed(1));
      });
      said.textContent = "The label is " + names[one.label] + ". At τ = " + ui.number(state.tau, 1) + " the parent says " + names[order[0]] + " with " +
        ui.number(100 * q[order[0]], 1) + " %, then " + names[order[1]] + " with " + ui.number(100 * q[order[1]], 1) + " %: " +
        ui.number(entropy(q), 2) + " of at most " + ui.number(Math.log2(names.length), 2) + " bits of entropy. Against the untrained child KL is " +
        ui.short(loss.kl) + " and τ² · KL is " + ui.short(loss.loss) + "; the gradient by the child's scores has length " +
        ui.short(loss.pull) + " without the factor and " + ui.short(loss.scaled) + " with it.";
      fill(["class", "parent at τ = 1", "parent at τ", "untrained child at τ"], names.map(function (name, k) { return [name, q1[k], q[k], r[k]]; }));
    }
    show();
  }
  window.hkt.figures.temperature = { compute: { soft: soft, entropy: entropy, imitation: imitation }, draw: draw };
}());
