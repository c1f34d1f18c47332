/* Page 04: the gate on the page's images.  The child's feature c, the parent's p and their mixture m in the plane that c and p
   span, where nothing is lost: to the right along c, upwards what p has besides.
   Data: {images: [{picture, label, p: [C numbers], c: {"before training": [C], "after training": [C]}}, …]}. */
(function () {
  "use strict";
  var KINDS = [["gate", "gate (released)"], ["forward_gate", "forward_gate (control)"], ["static", "static"]];

  function dot(a, b) { return a.reduce(function (sum, x, i) { return sum + x * b[i]; }, 0); }

  /* [length of c, p along c, p across c]: all that similarity, share and mixture depend on. */
  function plane(c, p) {
    var length = Math.sqrt(dot(c, c)), along = length > 0 ? dot(c, p) / length : 0;
    return [length, along, Math.sqrt(Math.max(0, dot(p, p) - along * along))];
  }
  /* {s, g, share, m} of two features of any number of entries; `channels` stands under the root. */
  function mix(c, p, kind, lam, channels) {
    var s = dot(c, p) / Math.sqrt(channels), g = 1 / (1 + Math.exp(-s)), rest = 1 / (1 + Math.exp(s));
    var share = { gate: lam * rest, forward_gate: lam * g, "static": 0.7 }[kind];
    return { s: s, g: g, rest: rest, share: share, m: c.map(function (x, i) { return x + share * (p[i] - x); }) };
  }

  function draw(root, data, ui) {
    var channels = data.images[0].p.length, state = { image: 0, when: "before training", kind: "gate", lam: 0.6, c: 0, p: [0, 0] };
    ui.choice(root, {
      label: "image", value: 0, on: function (value) { state.image = value; recall(); },
      options: data.images.map(function (one, i) { return [i, "image " + (i + 1) + ", " + one.label, one.picture]; })
    });
    ui.choice(root, {
      label: "child", value: state.when, on: function (value) { state.when = value; recall(); },
      options: Object.keys(data.images[0].c).map(function (name) { return [name, name]; })
    });
    var width = ui.width(root), height = width < 400 ? 210 : 250, left = 34, base = height - 40, svg = ui.svg(root, width, height, "Child's feature c, parent's feature p and their mixture m in a plane");
    var axes = ui.element("g", { "class": "hkt-axes" }, svg);
    ui.element("line", { x1: left, x2: width - 8, y1: base, y2: base }, axes);
    ui.element("line", { x1: left, x2: left, y1: 8, y2: base }, axes);
    ui.element("text", { x: width - 8, y: height - 4, "text-anchor": "end" }, axes, "along c");
    ui.element("text", { transform: "translate(14 " + base / 2 + ") rotate(-90)", "text-anchor": "middle" }, axes, "across, towards p");
    var marks = ui.element("g", { "class": "hkt-axes" }, svg);
    var between = ui.element("line", { stroke: "currentColor", "stroke-width": 1.5, "stroke-dasharray": "5 4" }, svg);
    var arrows = { p: ui.arrow(svg, "var(--hkt-parent)"), c: ui.arrow(svg, "var(--hkt-child)") };
    var moved = ui.element("line", { stroke: "var(--hkt-inherited)", "stroke-width": 5, "stroke-linecap": "round" }, svg);
    var m = ui.element("path", { fill: "var(--hkt-inherited)", stroke: "var(--hkt-paper)", "stroke-width": 1.5 }, svg), names = {};
    [["p", "parent"], ["c", "child"], ["m", "inherited"]].forEach(function (one) {
      names[one[0]] = ui.element("text", { "class": "hkt-letter", style: "fill:color-mix(in srgb, var(--hkt-" + one[1] + ") 72%, var(--hkt-ink))", "text-anchor": "middle" }, svg, one[0]);
    });
    var formula = ui.element("p", { "class": "hkt-filled" }, root);
    var lam = ui.slider(root, { label: "λ", min: 0, max: 1, step: 0.05, value: state.lam, on: function (value) { state.lam = value; show(); } });
    ui.choice(root, { label: "kind", value: state.kind, options: KINDS, on: function (value) { state.kind = value; show(); } });
    var own = ui.element("details", {}, root), hands = {};
    ui.element("summary", {}, own, "Move c and p yourself, here or by their tips");
    hands.c = hand("length of c", 0, 1, function (value) { state.c = value; });
    hands.p = hand("length of p", 0, 1, function (value) { turn(value, angle()); });
    hands.angle = hand("angle", 0, 180, function (value) { turn(Math.hypot(state.p[0], state.p[1]), value); });
    var said = ui.said(root), fill = ui.table(root, "The numbers of this pair"), most = 1, view, held = null;
    var holds = {
      p: tip("p", function (v) { state.p = v; }),
      c: tip("c", function (v) { state.c = Math.max(0, v[0]); })
    };

    function hand(label, least, top, set) {
      return ui.slider(own, {
        label: label, min: least, max: top, step: "any", value: 0,
        text: function (value) { return top === 180 ? ui.number(value, 0) + "°" : ui.short(value); },
        on: function (value) { if (!hands.still) { set(value); show(); } }
      });
    }
    function angle() { return Math.atan2(state.p[1], state.p[0]) * 180 / Math.PI; }
    function turn(length, degrees) { state.p = [length * Math.cos(degrees * Math.PI / 180), length * Math.sin(degrees * Math.PI / 180)]; }

    /* Back to where the page's networks put this image's features. */
    function recall() {
      var one = data.images[state.image], at = plane(one.c[state.when], one.p);
      state.c = at[0];
      state.p = [at[1], at[2]];
      most = 1.15 * Math.max(at[0], Math.hypot(at[1], at[2]));
      follow();
    }
    /* The sliders say where c and p are, whoever moved them. */
    function follow() {
      hands.still = true;
      [["c", state.c], ["p", Math.hypot(state.p[0], state.p[1])]].forEach(function (one) {
        ui.set(hands[one[0]].input, { max: 1.5 * most, step: Math.pow(10, Math.floor(Math.log10(most)) - 2) });
        hands[one[0]].set(one[1]);
      });
      hands.angle.input.step = 1;
      hands.angle.set(angle());
      hands.still = false;
      show();
    }
    /* A tip that is dragged; the scale waits until it is let go.  The sliders do the same by keyboard. */
    function tip(name, place) {
      var hold = ui.element("circle", { r: 20, fill: "transparent", "class": "hkt-hold" }, svg);
      hold.addEventListener("pointerdown", function (event) {
        hold.setPointerCapture(event.pointerId);
        held = name;
      });
      hold.addEventListener("pointermove", function (event) {
        if (held !== name) { return; }
        var at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
        place([(at.x - view.left) / view.unit, Math.max(0, (base - at.y) / view.unit)]);
        follow();
      });
      ["pointerup", "pointercancel"].forEach(function (end) { hold.addEventListener(end, function () { held = null; show(); }); });
      return hold;
    }

    function show() {
      var c = [state.c, 0], p = state.p, now = mix(c, p, state.kind, state.lam, channels), reach = Math.max(most, 1.1 * state.c, 1.1 * Math.hypot(p[0], p[1]));
      var origin = 1.1 * Math.min(0, p[0]), unit = Math.min((width - left - 30) / (reach - origin), (base - 34) / Math.max(1.1 * p[1], reach / 4));
      view = held ? view : { unit: unit, left: left - origin * unit };
      function at(v) { return [view.left + v[0] * view.unit, base - v[1] * view.unit]; }
      var zero = at([0, 0]), tips = { c: at(c), p: at(p), m: at(now.m) };
      arrows.c(zero, tips.c);
      arrows.p(zero, tips.p);
      ui.set(between, { x1: tips.c[0], y1: tips.c[1], x2: tips.p[0], y2: tips.p[1] });
      ui.set(moved, { x1: tips.c[0], y1: tips.c[1], x2: tips.m[0], y2: tips.m[1] });
      m.setAttribute("d", "M" + tips.m + "m0 -9l9 9l-9 9l-9 -9z");
      letter("c", tips.c, [0, 22]);
      letter("p", tips.p, [tips.p[0] > width - 40 ? -14 : 0, -10]);
      var x = tips.p[0] - tips.c[0], y = tips.p[1] - tips.c[1], length = Math.hypot(x, y) || 1, side = tips.m[0] > width - 50 ? -1 : 1;
      letter("m", tips.m, [side * Math.max(18, 20 * Math.abs(y) / length), -8 * Math.abs(x) / length]);
      ui.set(holds.p, { cx: tips.p[0], cy: tips.p[1] });
      ui.set(holds.c, { cx: tips.c[0], cy: tips.c[1] });
      rule(reach, at);
      write(now);
    }
    function letter(name, at, by) { ui.set(names[name], { x: (at[0] + by[0]).toFixed(1), y: (at[1] + by[1]).toFixed(1) }); }

    function rule(reach, at) {
      var tick = ui.scale(0, reach, 4)[1];
      marks.textContent = "";
      for (var value = 0; value <= reach; value += tick) {
        var place = at([value, 0]);
        if (place[0] > width - 12) { break; }
        ui.element("line", { x1: place[0], x2: place[0], y1: base, y2: base + 5 }, marks);
        if (Math.abs(place[0] - at([state.c, 0])[0]) < 18) { continue; }       // the letter c stands there
        ui.element("text", { x: place[0], y: base + 19, "text-anchor": "middle", "class": "hkt-small" }, marks, ui.short(value));
      }
    }

    function write(now) {
      var lam = ui.number(state.lam, 2), how = {
        gate: "ρ = λ (1 − g) = " + lam + " · " + ui.short(now.rest), forward_gate: "ρ = λ g = " + lam + " · " + ui.short(now.g), "static": "ρ is fixed"
      }[state.kind];
      formula.textContent = "";
      ["s = ⟨c, p⟩ / √" + channels + " = " + ui.short(now.s), "g = σ(s) = " + (now.rest < 0.005 ? "1 − " + ui.short(now.rest) : ui.short(now.g)), how + " → " + ui.short(now.share),
        "m = c + " + ui.short(now.share) + " (p − c)"].forEach(function (line) { ui.element("span", {}, formula, line); });
      var gone = Math.hypot(now.m[0] - state.c, now.m[1]) / Math.max(1e-12, state.c);
      said.textContent = "The mixture has gone " + ui.short(100 * now.share) + " % of the way from c to p" + (state.c > 0 ?
        ", which is " + ui.short(gone) + " lengths of c. The angle between c and p is " + ui.number(angle(), 0) + "°." :
        "; c has no length, so that there are neither lengths of c nor an angle.");
      fill(["", "along c", "across", "length"], [["c", state.c, 0, state.c], ["p", state.p[0], state.p[1], Math.hypot(state.p[0], state.p[1])],
        ["m", now.m[0], now.m[1], Math.hypot(now.m[0], now.m[1])]]);
    }
    recall();
  }
  window.hkt.figures.gate = { compute: { plane: plane, mix: mix }, draw: draw };
}());
