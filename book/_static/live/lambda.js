/* Page 21: how large a share?  The published runs of each λ, and one of them at a time in words.
   Data: {axis, zero, kinds: {title: [{lam, mean, low, high, seeds, score, share, displacement}, …]}}. */
(function () {
  "use strict";
  var LOOKS = ["M0 -7L6 0L0 7L-6 0z", "M-6 -5H6L0 6z", "M-5 -5H5V5H-5z"];

  /* All λ with three seeds, in order. */
  function values(kinds) {
    var found = [];
    Object.keys(kinds).forEach(function (kind) {
      kinds[kind].forEach(function (row) { if (found.indexOf(row.lam) < 0) { found.push(row.lam); } });
    });
    return found.sort(function (a, b) { return a - b; });
  }
  function judge(row) { return row.low > 0 ? "better" : row.high < 0 ? "worse" : "open"; }

  function draw(root, data, ui) {
    var lams = values(data.kinds), kinds = Object.keys(data.kinds), rows = [].concat.apply([], kinds.map(function (kind) { return data.kinds[kind]; }));
    var low = Math.min.apply(null, rows.map(function (row) { return row.low; }).concat(0)), high = Math.max.apply(null, rows.map(function (row) { return row.high; }).concat(0));
    var room = 0.12 * (high - low || 1), usual = lams.indexOf(0.6), chosen = Math.max(0, usual), ticks = ui.scale(low - room, high + room, 5);
    if (lams.length > 1) {
      ui.slider(root, {
        label: "λ", min: 0, max: lams.length - 1, step: 1, value: chosen,
        text: function (i) { return ui.short(lams[i]); }, on: function (i) { chosen = i; show(); }
      });
    }
    var legend = ui.row(root);
    var plane = ui.plane(root, {
      label: data.axis + ", for each λ that was run", x: [-0.08, 1.22, "λ"], y: [low - room, high + room, data.axis], ticks: { x: [0, 0.2, 0.4, 0.6, 0.8, 1], y: ticks }, height: 300
    });
    var band = ui.element("rect", { y: plane.box.top, height: plane.box.bottom - plane.box.top, width: 44, rx: 4, fill: "var(--hkt-soft)" });
    plane.svg.insertBefore(band, plane.svg.firstChild);
    plane.path([[-0.08, 0], [1.22, 0]], { stroke: "currentColor", "stroke-dasharray": "5 4" });
    ui.element("text", { x: plane.box.right, y: plane.Y(0) - 5, "text-anchor": "end" }, plane.svg, data.zero);
    kinds.forEach(function (kind, k) {
      var key = ui.element("svg", { viewBox: "-9 -9 18 18", width: 18, height: 18, "class": "hkt-mark", "aria-hidden": "true" }, legend);
      mark(key, k);
      ui.element("span", {}, legend, kind);
      data.kinds[kind].forEach(function (row) {
        var x = plane.X(row.lam) + 14 * (k - (kinds.length - 1) / 2), group = ui.element("g", { transform: "translate(" + x.toFixed(1) + " " + plane.Y(row.mean).toFixed(1) + ")" }, plane.svg);
        ui.element("line", { y1: plane.Y(row.low) - plane.Y(row.mean), y2: plane.Y(row.high) - plane.Y(row.mean), stroke: "var(--hkt-inherited)", "stroke-width": 2.5 }, group);
        mark(group, k);
      });
    });
    function mark(parent, k) {
      return ui.element("path", { d: LOOKS[k], fill: k ? "var(--hkt-paper)" : "var(--hkt-inherited)", stroke: "var(--hkt-inherited)", "stroke-width": 2 }, parent);
    }
    var said = ui.said(root), fill = ui.table(root, "The numbers of all λ with three seeds");
    fill(["", "λ", "seeds", "better than plain by", "low", "high", "test score", "median share", "median displacement"], [].concat.apply([], kinds.map(function (kind) {
      return data.kinds[kind].map(function (row) {
        return [kind, ui.short(row.lam), row.seeds, row.mean, row.low, row.high, row.score, row.share, row.displacement].map(function (item) { return item === null ? "–" : item; });
      });
    })));

    function sentence(kind) {
      var row = data.kinds[kind].filter(function (one) { return one.lam === lams[chosen]; })[0];
      if (!row) { return kind + " has not three seeds at this λ."; }
      var verdict = { better: "better than plain", worse: "worse than plain", open: "whether it differs from plain is open" }[judge(row)];
      return kind + ": " + verdict + ", " + ui.number(row.mean, 2) + " [" + ui.number(row.low, 2) + ", " + ui.number(row.high, 2) + "] over " + row.seeds + " seeds" +
        (row.share === null ? "." : "; median share " + ui.short(row.share) + " at the end.");
    }
    function show() {
      band.setAttribute("x", (plane.X(lams[chosen]) - 22).toFixed(1));
      said.textContent = "λ = " + ui.short(lams[chosen]) + (lams.length > 1 ? ". " : ", the only one with enough seeds so far. ") + kinds.map(sentence).join(" ");
    }
    show();
  }
  window.hkt.figures.lambda = { compute: { values: values, judge: judge }, draw: draw };
}());
